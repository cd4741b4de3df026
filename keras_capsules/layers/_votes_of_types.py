"""Computes the votes that all children of a type in a window cast as one, by a convolution."""

from collections.abc import Callable
from typing import Any

from keras import ops

from keras_capsules._shapes import sizes_of


def votes_of_types(
    poses: Any, kernel: Any, cells: tuple, convolve: Callable[[Any, Any], Any]
) -> Any:
    """Computes `votes_ij = sum_p u_i(p) @ kernel_j(p)` over the positions p of a window.

    Args:
        poses: Tensor `(batch, *grid, types, in_dim)`.
        kernel: Tensor `(*kernel_size, num_out, in_dim, dim)`, shared by all types.
        cells: Tuple of integers and scalar tensors. Size of the grid that `convolve` makes.
        convolve: Function of features `(batch, *grid, in_dim)` and a kernel
            `(*kernel_size, in_dim, num_out * dim)`.

    Returns:
        Tensor `(batch * num_cells, num_out, types, dim)`.
    """
    rank = len(kernel.shape) - 3
    *window, num_out, in_dim, dim = kernel.shape
    grid, types, axes = sizes_of(poses)[:rank], poses.shape[-2], tuple(range(1, 1 + rank))
    # Types become entries of the batch.
    poses = ops.transpose(poses, (0, 1 + rank, *axes, 2 + rank))
    kernel = ops.transpose(kernel, (*range(rank), rank + 1, rank, rank + 2))
    kernel = ops.reshape(kernel, (*window, in_dim, num_out * dim))
    votes = convolve(ops.reshape(poses, (-1, *grid, in_dim)), kernel)
    if types == 1:  # Without the sizes, which tf2onnx confuses here where they are open.
        return ops.reshape(votes, (-1, num_out, 1, dim))
    votes = ops.reshape(votes, (-1, types, *cells, num_out, dim))
    after = tuple(range(2, 2 + rank))
    votes = ops.transpose(votes, (0, *after, 2 + rank, 1, 3 + rank))
    return ops.reshape(votes, (-1, num_out, types, dim))


def check_convolution(routing: Any, share_weights: bool, coordinate_addition: bool) -> None:
    """Checks the options of a layer whose types vote as one.

    Raises:
        ValueError: If they need a vote of each child.
    """
    if routing.explicit_activations or share_weights or coordinate_addition:
        raise ValueError(
            'With transform="convolution" all children of a type in a window vote as one, so '
            "they have neither activations nor coordinates, and all types share a kernel. Choose "
            "a routing without explicit activations, such as 'dynamic', and leave `share_weights` "
            f"and `coordinate_addition` out. Received: routing={routing.name!r}, "
            f"share_weights={share_weights}, coordinate_addition={coordinate_addition}"
        )
