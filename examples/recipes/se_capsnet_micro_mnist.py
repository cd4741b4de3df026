"""Trains a capsule network with gates for a microcontroller on MNIST.

`python -m examples.train --model se_capsnet --dataset micro_mnist`
"""

from examples.recipes._micro import *  # noqa: F403
from examples.recipes.efficient_capsnet_micro_mnist import ARGUMENTS, compile

__all__ = ["ARGUMENTS", "compile"]
