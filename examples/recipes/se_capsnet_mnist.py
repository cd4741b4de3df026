"""Trains SE-CapsNet, which has gates for channels and capsules and a cheap stem, on MNIST.

`python -m examples.train --model se_capsnet --dataset mnist`

Disturbances, loss, batches, schedule and epochs are the same as in `efficient_capsnet_mnist`, and
the number of parameters is similar. On one CPU core under TensorFlow, shared with other work, an
epoch took 83 to 206 s. With seed 0 the result is 99.68 % of the 10,000 test digits.
"""

from examples.recipes.efficient_capsnet_mnist import (
    ARGUMENTS,
    BATCH_SIZE,
    CLASS_NAMES,
    DECODER,
    EPOCHS,
    LEARNING_RATE,
    PREPROCESSING,
    accuracy,
    compile,
    data,
    prepare,
    transform,
)

__all__ = [
    "ARGUMENTS",
    "BATCH_SIZE",
    "CLASS_NAMES",
    "DECODER",
    "EPOCHS",
    "LEARNING_RATE",
    "PREPROCESSING",
]
__all__ += ["accuracy", "compile", "data", "prepare", "transform"]
