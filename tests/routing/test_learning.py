"""Every routing learns to read digits, in a layer and in a convolution before it."""

import keras
import numpy as np
import pytest

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


def network(name):
    explicit = routing.get(name).explicit_activations
    image = keras.Input((8, 8, 1))
    x = keras.layers.Conv2D(16, 3, activation="relu")(image)
    options = {"explicit_activations": explicit, "activation": None if explicit else "squash"}
    x = PrimaryCapsule2D(4, 9, 2, strides=2, **options)(x)
    x = ConvCapsule2D(4, 9, 2, routing=name, transform="matrix")(x)
    x = CapsuleLayer(10, 9, routing=name, transform="matrix")(x)
    return keras.Model(image, x[1] if explicit else CapsuleLength()(x))


@pytest.mark.slow
@pytest.mark.parametrize("name", sorted(routing.ROUTINGS))
def test_digits_are_learned(name):
    (x, y), (x_test, y_test) = datasets.digits()
    model = network(name)
    explicit = routing.get(name).explicit_activations
    loss = SpreadLoss(0.5) if explicit else MarginLoss()
    loss = "categorical_crossentropy" if name == "self_routing" else loss
    model.compile(keras.optimizers.Adam(5e-3), loss)
    one_hot = keras.utils.to_categorical(y, 10)
    model.fit(x, one_hot, batch_size=64, epochs=8, verbose=0)
    right = np.mean(model.predict(x_test, verbose=0).argmax(axis=1) == y_test)
    assert right >= 0.7
