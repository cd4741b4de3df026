"""Trains a capsule network for a microcontroller on MNIST.

`python -m examples.train --model efficient_capsnet --dataset micro_mnist`
"""

import keras

from examples.recipes._micro import *  # noqa: F403
from keras_capsules import MarginLoss

ARGUMENTS = {
    "input_shape": (28, 28, 1),
    "num_classes": 10,
    "filters": (8, 16, 16, 32),
    "kernel_sizes": (5, 3, 3, 3),
    "strides": (1, 2, 1, 2),
    "primary_capsules": 8,
    "capsule_dim": 8,
}


def compile(model: keras.Model, schedule) -> None:
    """Compiles the model with a schedule of the learning rate."""
    model.compile(keras.optimizers.Adam(schedule), MarginLoss(), metrics=["accuracy"])
