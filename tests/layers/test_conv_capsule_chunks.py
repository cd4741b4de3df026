"""A training step in chunks of votes."""

import keras
import numpy as np
import pytest

from keras_capsules import ConvCapsule2D
from keras_capsules.layers import _convolution
from keras_capsules.routing.votes import ChunkedVotes
from tests.layers.conv_capsules import built


@pytest.mark.parametrize(
    ("name", "options"),
    [
        ("em", {"transform": "matrix", "use_bias": True, "coordinate_addition": True}),
        ("dynamic", {"in_dim": 9, "share_weights": True}),
    ],
)
def test_a_step_in_chunks_is_the_same(generator, monkeypatch, name, options):
    """A step changes all weights as much, and the poses' gradient reaches the layer before."""
    layer, inputs = built(generator, (4, 5), routing=name, kernel_size=3, padding="same", **options)
    inputs = keras.tree.map_structure(np.asarray, inputs)

    def weights_after_a_step():
        tensors = keras.tree.map_structure(lambda x: keras.Input(x.shape[1:]), inputs)
        parts = keras.tree.flatten(tensors)
        before = keras.layers.Dense(parts[0].shape[-1], kernel_initializer="identity")
        again = ConvCapsule2D.from_config(layer.get_config())
        output = keras.tree.flatten(
            again((before(parts[0]), *parts[1:]) if parts[1:] else before(parts[0]))
        )
        model = keras.Model(parts, output)
        again.set_weights(layer.get_weights())
        model.compile(keras.optimizers.SGD(1.0), ["mse"] * len(output))
        targets = [np.zeros((2, *tensor.shape[1:]), "float32") for tensor in output]
        model.train_on_batch(keras.tree.flatten(inputs), targets)
        return model.get_weights()

    expected = weights_after_a_step()
    monkeypatch.setattr(_convolution, "CHUNK", 0)
    made = []
    monkeypatch.setattr(
        _convolution, "ChunkedVotes", lambda *a: made.append(ChunkedVotes(*a)) or made[-1]
    )
    found = weights_after_a_step()
    assert made
    for one, other in zip(found, expected, strict=True):
        np.testing.assert_allclose(one, other, rtol=1e-4, atol=1e-6)
