"""Trains a plain network for a microcontroller on MNIST.

`python -m examples.train --model cnn_baseline --dataset micro_mnist`
"""

from examples.recipes._micro import *  # noqa: F403
from examples.recipes.cnn_baseline_mnist import compile

__all__ = ["ARGUMENTS", "compile"]

ARGUMENTS = {
    "input_shape": (28, 28, 1),
    "num_classes": 10,
    "filters": (12, 16, 16, 24),
    "kernel_size": 3,
    "strides": (2, 1, 2, 2),
    "batch_normalization": True,
    "units": (),
}
