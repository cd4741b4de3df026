"""Which stretch of a signal, and which part of a picture, speaks for a label."""

import keras
import numpy as np
import pytest
from conftest import SMALL_OF_TASK, once

from keras_capsules import create_model
from keras_capsules.explain import coupling_map, grad_cam

pytestmark = once


@pytest.mark.parametrize(
    "name, method", [("signal_capsnet", coupling_map), ("signal_cnn", grad_cam)]
)
def test_the_stretch_that_speaks_for_a_class(generator, name, method):
    """Where the signal is flat there is nothing to see; a burst is found where it is."""
    model = create_model(name, **SMALL_OF_TASK["signals"] | {"input_shape": (64, 2)})
    signals = np.zeros((4, 64, 2), "float32")
    starts = (4, 20, 36, 48)
    for signal, start in zip(signals, starts, strict=True):
        signal[start : start + 12] = generator.normal(size=(12, 2))
    maps = sum(np.abs(method(model, signals, class_index=index)) for index in range(3))
    assert maps.shape == (4, 64) and maps.max() > 0
    for found, start in zip(maps, starts, strict=True):
        near = found[max(0, start - 12) : start + 24].sum()
        assert near > 0.95 * found.sum()


def test_the_part_that_speaks_for_a_class_at_its_pixels():
    """Of a model whose class is brightness, seen in windows of 3 x 3 pixels."""
    image = keras.Input((8, 10, 1))
    features = keras.layers.Conv2D(1, 3, padding="same", kernel_initializer="ones")(image)
    scores = keras.layers.Conv2D(2, 1, activation="softmax", name="scores")(features)
    model = keras.Model(image, scores)
    model.layers[-1].set_weights([np.array([[[[-1.0, 1.0]]]]), np.array([1.0, -1.0])])
    images = np.zeros((1, 8, 10, 1), "float32")
    images[0, 2:4, 6:8] = 1
    found = grad_cam(model, images, class_index=1)
    assert found.shape == (1, 8, 10)
    np.testing.assert_array_equal(found[0] > 1e-6, np.pad(np.ones((6, 6)), ((0, 2), (4, 0))) > 0)
    capsules = create_model("segcaps", **SMALL_OF_TASK["segmentation"])
    pixels = np.ones((1, 16, 16, 1))
    assert grad_cam(capsules, pixels, class_index=1).shape == (1, 16, 16)
    with pytest.raises(ValueError, match="Say by `class_index`"):
        grad_cam(model, images)
