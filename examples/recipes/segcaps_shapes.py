"""Trains SegCaps of half the paper's width on pictures of overlapping shapes and digits.

`python -m examples.train --model segcaps --dataset shapes`

The weights are those after the last epoch, without a selection.
`python -m benchmarks.segmentation --report` prints the Dice of five seeds.
"""

from examples.recipes._shapes import *  # noqa: F403
from examples.recipes._shapes import ARGUMENTS as _SHARED

ARGUMENTS = _SHARED | {"width": 8}
LEARNING_RATE = 1e-2
