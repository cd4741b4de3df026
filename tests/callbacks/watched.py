"""Networks of capsules, and their training under `CapsuleHealth`."""

import keras
import numpy as np

from keras_capsules import (
    CapsuleHealth,
    CapsuleLayer,
    CapsuleLength,
    ConvCapsule2D,
    MarginLoss,
    PrimaryCapsule2D,
    SpreadLoss,
)

NUMBERS = np.arange(128) % 4
Y = np.eye(4, dtype="float32")[NUMBERS]


def network(optimizer="adam", loss=None, **options):
    image = keras.Input((8, 8, 1))
    features = keras.layers.Rescaling(4.0)(image)
    poses = PrimaryCapsule2D(4, 4, 4, strides=2, name="primary_capsules")(features)
    poses = CapsuleLayer(4, 6, name="class_capsules", **options)(poses)
    model = keras.Model(image, CapsuleLength(name="scores")(poses))
    model.compile(optimizer, loss or MarginLoss())
    return model


def matrix_network(optimizer="adam"):
    image = keras.Input((8, 8, 1))
    options = {"explicit_activations": True, "activation": None, "name": "primary_capsules"}
    x = PrimaryCapsule2D(2, 4, 4, strides=2, **options)(image)
    x = ConvCapsule2D(3, 4, 2, routing="em", transform="matrix", name="convolutional")(x)
    x = CapsuleLayer(4, 4, routing="em", name="class_capsules")(x)
    model = keras.Model(image, x[1])
    model.compile(optimizer, SpreadLoss())
    return model


def still():
    """An optimizer that leaves all weights as they are."""
    return keras.optimizers.SGD(0.0)


def watch(model, x, y=Y, epochs=1, health=None, callbacks=(), **options):
    health = health or CapsuleHealth(x, y)
    history = model.fit(x, y, epochs=epochs, verbose=0, callbacks=[health, *callbacks], **options)
    return {name: values[-1] for name, values in history.history.items()}


def lines(capsys):
    return [line for line in capsys.readouterr().out.splitlines() if line]
