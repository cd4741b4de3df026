"""Models and places that get no blocks, and why."""

import keras
import pytest
from conftest import once
from keras import layers

from keras_capsules import insert_attention
from tests.surgery.residual import residual


class Subclassed(keras.Model):
    def call(self, inputs):
        return inputs


class Pair(layers.Layer):
    def call(self, inputs):
        return inputs, inputs


def with_layers(*stack, shape=(6, 6, 3)):
    image = x = keras.Input(shape, name="image")
    for layer in stack:
        x = layer(x)
    return keras.Model(image, x)


@once
def test_refusals():
    convolution = layers.Conv2D(3, 3, padding="same", name="shared")
    cases = [
        (Subclassed(), None, "subclassed model .* Subclassed"),
        (keras.Sequential([layers.Dense(3)]), None, "no shapes yet. .*keras.Input"),
        (with_layers(convolution, convolution), "shared", "'shared' more than once"),
        (
            with_layers(layers.Conv2D(3, 3, name="only")),
            None,
            "no addition .*`after`.* image, only",
        ),
        (residual(), "nothing*", r"no such layer.* image, stem, .*after='nothing\*'"),
        (residual(), 3, "`after` must be .*after=3"),
        (with_layers(Pair(name="pair")), "pair", "'pair' has several outputs"),
        (with_layers(layers.Flatten(name="flat")), "flat", r"follow .*'flat'.*\(None, 108\)"),
    ]
    for model, after, message in cases:
        with pytest.raises(ValueError, match=message):
            insert_attention(model, after=after)
    with pytest.raises(ValueError, match="Unknown attention"):
        insert_attention(residual(), "sea")
