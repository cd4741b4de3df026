"""Trains a U-Net with squeeze-and-excitation on pictures of overlapping shapes and digits.

`python -m examples.train --model se_unet --dataset shapes`

The network is as large as SegCaps in its recipe. The weights are those after the last epoch,
without a selection.
`python -m benchmarks.segmentation --report` prints the Dice of five seeds.
"""

from examples.recipes._shapes import *  # noqa: F403
from examples.recipes._shapes import ARGUMENTS as _SHARED

ARGUMENTS = _SHARED | {"filters": (14, 28, 56, 99)}
