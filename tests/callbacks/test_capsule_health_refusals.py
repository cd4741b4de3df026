"""Samples and models that `CapsuleHealth` refuses to watch."""

import keras
import numpy as np
import pytest

from keras_capsules import CapsuleHealth, MarginLoss, create_model
from tests.callbacks.watched import network, watch


@pytest.mark.parametrize(
    ("x", "y", "message"),
    [
        (np.ones((4, 2)), np.ones((3, 2)), "4, 3 samples"),
        (np.ones((0, 2)), None, "at least one sample"),
        (iter([]), None, "take a batch"),
    ],
)
def test_refused(x, y, message):
    with pytest.raises(ValueError, match=message):
        CapsuleHealth(x, y)


def test_models_that_cannot_be_watched_are_refused(x):
    model = create_model("cnn_baseline", size="tiny", input_shape=(8, 8, 1), num_classes=4)
    model.compile("adam", "mse")
    with pytest.raises(ValueError, match="layers of capsules.*cnn_baseline"):
        watch(model, x)

    class Subclassed(keras.Model):
        def __init__(self):
            super().__init__()
            self.inner = network()

        def call(self, inputs):
            return self.inner(inputs)

    model = Subclassed()
    model.compile("adam", MarginLoss())
    with pytest.raises(ValueError, match="functional or sequential"):
        watch(model, x)


def test_a_frozen_model_has_no_gradients(x):
    model = network()
    model.trainable = False
    model.compile("adam", MarginLoss())
    history = watch(model, x)
    assert history and not any("gradient" in name for name in history)
