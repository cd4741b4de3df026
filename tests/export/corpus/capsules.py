"""Layers and networks of capsules."""

import keras
from keras import layers

import keras_capsules
from keras_capsules import (
    CapsuleLayer,
    CapsuleLength,
    ConvCapsule1D,
    ConvCapsule2D,
    MultiInterestCapsule,
    PrimaryCapsule1D,
    PrimaryCapsule2D,
)
from keras_capsules.routing import ROUTINGS
from tests.export.corpus.registry import model


@model(sorted(ROUTINGS))
def routing(name):
    explicit = ROUTINGS[name].explicit_activations
    poses, logits = keras.Input((6, 4), name="poses"), keras.Input((6,), name="logits")
    if not explicit:
        return keras.Model(poses, CapsuleLayer(3, 5, routing=name)(poses))
    parents = CapsuleLayer(3, 5, routing=name)((poses, layers.Activation("sigmoid")(logits)))
    return keras.Model([poses, logits], list(parents))


@model()
def of_images():
    image = keras.Input((12, 12, 1))
    x = PrimaryCapsule2D(4, 4, 3, strides=2)(layers.Conv2D(8, 3, activation="relu")(image))
    x = CapsuleLayer(3, 6)(ConvCapsule2D(4, 4, 3)(x))
    return keras.Model(image, CapsuleLength(name="scores")(x))


@model()
def of_signals():
    signal = keras.Input((20, 2))
    x = PrimaryCapsule1D(4, 4, 3, strides=2)(layers.Conv1D(8, 3, activation="relu")(signal))
    x = CapsuleLayer(3, 6)(ConvCapsule1D(4, 4, 3)(x))
    return keras.Model(signal, CapsuleLength(name="scores")(x))


@model()
def interests():
    behaviours = keras.Input((8, 4))
    return keras.Model(behaviours, MultiInterestCapsule(3, 5)(behaviours))


@model([name for name in keras_capsules.list_models() if name != "segcaps"])
def zoo(name):
    size = 24 if name in ("deepcaps", "efficient_capsnet") else 16
    is_signal = name in keras_capsules.list_models(task="signals")
    shape = (20, 2) if is_signal else (size, size, 1)
    return keras_capsules.create_model(name, size="tiny", input_shape=shape, num_classes=3)


@model(tolerance=1e-3)
def segcaps():
    """New weights multiply rounding through 13 layers: Keras is off by 1e-2 from float64."""
    options = {"size": "tiny", "input_shape": (16, 16, 1), "num_classes": 3}
    return keras_capsules.create_model("segcaps", **options)
