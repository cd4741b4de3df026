"""Handles axes whose size is unknown until data comes."""

import math
from typing import Any

from keras import ops


def sizes_of(tensor: Any) -> tuple:
    """Returns the sizes of all axes but the batch, as integers where they are known.

    Where TensorFlow traces a graph for any size, an open axis has a scalar tensor as its size.
    """
    known = None not in tensor.shape[1:]  # Then no node is made.
    return tuple(tensor.shape[1:]) if known else tuple(ops.shape(tensor)[1:])


def mask_of_children(mask: Any, poses: Any) -> Any:
    """Returns the mask `(batch, num_in)` of the capsules of a grid.

    Args:
        mask: Tensor `(batch, num_in)`, or a tensor of the first axes of the grid, such as
            `(batch, length)`. All capsules of a position then share its entry.
        poses: Tensor `(batch, positions..., types, dim)` or `(batch, num_in, dim)`.
    """
    mask, sizes = ops.cast(mask, "bool"), tuple(poses.shape[1:-1])
    if len(sizes) == 1 or (None not in sizes and tuple(mask.shape[1:]) == (math.prod(sizes),)):
        return mask
    types = math.prod(sizes_of(poses)[len(mask.shape) - 1 : -1])
    return ops.repeat(ops.reshape(mask, (-1, math.prod(sizes_of(mask)))), types, axis=1)
