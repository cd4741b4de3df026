"""Every routing learns to read digits, in a layer and in a convolution before it."""

import keras
import numpy as np
import pytest
from conftest import once_under_torch

from keras_capsules import (
    CapsuleLayer,
    CapsuleLength,
    ConvCapsule2D,
    MarginLoss,
    PrimaryCapsule2D,
    SpreadLoss,
    datasets,
    routing,
)

LOGITS = keras.losses.CategoricalCrossentropy(from_logits=True)


def network(name):
    """A network with this routing in a convolution and a layer, and its loss."""
    explicit = routing.get(name).explicit_activations
    image = keras.Input((8, 8, 1))
    x = keras.layers.Conv2D(16, 3, activation="relu")(image)
    options = {"explicit_activations": explicit, "activation": None if explicit else "squash"}
    x = PrimaryCapsule2D(4, 9, 2, strides=2, **options)(x)
    x = ConvCapsule2D(4, 9, 2, routing=name, transform="matrix")(x)
    x = CapsuleLayer(10, 9, routing=name, transform="matrix")(x)
    if name == "variational_bayes":  # As its authors train it.
        return keras.Model(image, x[1]), LOGITS
    if explicit:
        return keras.Model(image, x[1]), SpreadLoss(0.5)
    if name == "inverted_dot_product":  # Its parents are normalized, and their lengths equal.
        return keras.Model(image, keras.layers.Flatten()(keras.layers.Dense(1)(x))), LOGITS
    return keras.Model(image, CapsuleLength()(x)), MarginLoss()


@once_under_torch
@pytest.mark.slow
@pytest.mark.parametrize("name", sorted(routing.ROUTINGS))
def test_digits_are_learned(name):
    (x, y), (x_test, y_test) = datasets.digits()
    x, x_test = x / np.float32(255), x_test / np.float32(255)
    model, loss = network(name)
    # Without the decay, the last steps decide: moving statistics lag behind the weights.
    rate = keras.optimizers.schedules.CosineDecay(5e-3, 8 * -(-len(x) // 64))
    model.compile(keras.optimizers.Adam(rate), loss)
    one_hot = keras.utils.to_categorical(y, 10)
    model.fit(x, one_hot, batch_size=64, epochs=8, verbose=0)
    right = np.mean(model.predict(x_test, verbose=0).argmax(axis=1) == y_test)
    assert right >= 0.7
