"""Provides what the recipes for microcontrollers share: MNIST, 64 kB of flash and 64 kB of RAM."""

import keras

from examples.recipes._digits import CLASS_NAMES, PREPROCESSING, accuracy, disturb, prepare
from keras_capsules import datasets

__all__ = ["CLASS_NAMES", "PREPROCESSING", "accuracy", "data", "prepare"]
__all__ += ["BATCH_SIZE", "DECODER", "EPOCHS", "LEARNING_RATE", "transform"]

DECODER = {}
EPOCHS = 50
BATCH_SIZE = 64
LEARNING_RATE = 4e-3

data = datasets.mnist


def transform(images, labels, generator):
    """Returns inputs and targets for a batch of uint8 digits and integer labels."""
    return disturb(images, generator), keras.utils.to_categorical(labels, 10)
