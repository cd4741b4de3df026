"""Networks whose dtype policy is another than float32. Their files compute in float32."""

import contextlib
import itertools

import keras
from keras import layers

from keras_capsules import CapsuleLayer
from tests.export.corpus.attention import transformer_block
from tests.export.corpus.registry import model

POLICIES = ("mixed_float16", "mixed_bfloat16", "float16", "bfloat16", "float64")


def dense():
    steps = [layers.Dense(8, activation="relu"), layers.BatchNormalization(), layers.Dense(3)]
    return keras.Sequential([keras.Input((6,)), *steps])


def convolutional():
    image = keras.Input((8, 8, 3))
    x = layers.MaxPooling2D()(layers.Conv2D(4, 3, activation="relu")(image))
    x = layers.Dense(3)(layers.Flatten()(x))
    return keras.Model(image, layers.Activation("softmax", dtype="float32")(x))


def recurrent():
    return keras.Sequential(
        [
            keras.Input((5, 3)),
            layers.LSTM(4, recurrent_initializer="glorot_uniform"),
            layers.Dense(2),
        ]
    )


def attentive():
    x = keras.Input((6, 8))
    return keras.Model(x, transformer_block(x))


def capsules():
    return keras.Sequential([keras.Input((6, 4)), CapsuleLayer(3, 5)])


@contextlib.contextmanager
def policy(name):
    before = keras.config.dtype_policy()
    keras.config.set_dtype_policy(name)
    try:
        yield
    finally:
        keras.config.set_dtype_policy(before)


MODELS = (dense, convolutional, recurrent, attentive, capsules)
PAIRS = {
    f"{make.__name__}_{name}": (make, name) for make, name in itertools.product(MODELS, POLICIES)
}


@model(PAIRS, tolerance=0.05)
def of(pair):
    """Built as a whole under the policy."""
    make, name = pair
    with policy(name):
        return make()


@model(tolerance=0.05)
def one_layer_of_half():
    """A single layer computes in half precision."""
    half = layers.Dense(8, dtype="mixed_float16", activation="relu")
    return keras.Sequential([keras.Input((6,)), half, layers.Dense(2)])
