"""Every architecture of `keras.applications`, at its smallest input and with random weights."""

import keras
import numpy as np

from tests.export.corpus.registry import model

NAMES = sorted(name for name in vars(keras.applications) if name[0].isupper())
SMALLEST = {"InceptionV3": 75, "InceptionResNetV2": 75, "Xception": 71}
"""Smallest height and width, if not 32."""
FAST = ("MobileNetV2", "MobileNetV3Small")
DEEPEST = ("EfficientNetV2L", "EfficientNetV2M")


def build(name, activation="softmax"):
    size = SMALLEST.get(name, 32)
    architecture = getattr(keras.applications, name)
    return architecture(
        input_shape=(size, size, 3), weights=None, classes=10, classifier_activation=activation
    )


@model(FAST, floats=(0, 1))
def fast(name):
    return build(name)


@model(DEEPEST, floats=(0, 1), slow=True, tolerance=1e-4)
def deepest(name):
    """With moving variances of 1 values grow from block to block, until rounding decides all."""
    network, generator = build(name, activation=None), np.random.default_rng(0)
    for layer in network.layers:
        if isinstance(layer, keras.layers.BatchNormalization):
            variances = generator.uniform(1.25, 1.35, layer.moving_variance.shape)
            layer.moving_variance.assign(variances)
    return network


@model([name for name in NAMES if name not in FAST + DEEPEST], floats=(0, 1), slow=True)
def slow(name):
    return build(name)
