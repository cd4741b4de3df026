"""Puts the matrices of another code's capsule layer into ours."""

from typing import Any

import numpy as np

from keras_capsules.layers import CapsuleLayer
from keras_capsules.models.foreign.arrays import check_shape, written

AXES: tuple[str, ...] = ("children", "parents", "in", "out")  # Of our kernel.


def load_foreign_layer(
    layer: CapsuleLayer,
    kernel: Any,
    axes: str = "children parents out in",
    grid: tuple[int, int, int] | None = None,
) -> CapsuleLayer:
    """Loads the matrices of a capsule layer of another code, such as PyTorch's, into a layer.

    The votes are then the same. What the layer makes of them is its routing, which other codes
    do otherwise: many take the softmax over the children, which is not carried over. See
    docs/migration.md.

    Args:
        layer: `keras_capsules.CapsuleLayer` without shared weights. It is built, if it has not
            been called.
        kernel: Array of four axes, after any leading axes of size 1. PyTorch's
            `tensor.detach().cpu().numpy()` is one.
        axes: String. What the four axes are: the words `children`, `parents`, `in` (the pose of a
            child) and `out` (the pose of a parent) in their order. The default is the most common
            one, `W` of shape `(1, children, parents, out, in)`. gram-ai's `route_weights` are
            `"parents children in out"`.
        grid: Triple `(height, width, types)`, if the children are a grid which the other code
            flattens with the types first, as codes in PyTorch do. Ours come last. `None`, the
            default, leaves the children in their order.

    Returns:
        The layer.

    Raises:
        ValueError: If `axes` or `grid` do not fit the kernel, or the kernel does not fit the layer.

    Example:

    >>> layer = keras_capsules.CapsuleLayer(num_capsules=10, capsule_dim=16)
    >>> kernel = np.zeros((1, 1152, 10, 16, 8), "float32")
    >>> layer = keras_capsules.models.load_foreign_layer(layer, kernel, grid=(6, 6, 32))
    >>> layer.kernel.shape
    (1152, 10, 8, 16)
    """
    words = axes.split()
    if sorted(words) != sorted(AXES):
        raise ValueError(
            f"`axes` must have the words {', '.join(AXES)}, each once. Received: axes={axes!r}"
        )
    kernel = np.asarray(kernel)
    while kernel.ndim > 4 and kernel.shape[0] == 1:
        kernel = kernel[0]
    if kernel.ndim != 4:
        raise ValueError(
            f"`kernel` must have the axes {axes!r}, after leading axes of size 1. Received: "
            f"shape={np.shape(kernel)}"
        )
    sizes = dict(zip(words, kernel.shape, strict=True))
    if not layer.built:
        layer.build((None, sizes["children"], sizes["in"]))
    expected = dict(zip(AXES, layer.kernel.shape, strict=True))
    shape = tuple(expected[word] for word in words)
    check_shape(f"a layer with axes {axes!r}", "kernel", kernel, shape)
    kernel = kernel.transpose([words.index(axis) for axis in AXES])
    layer.kernel.assign(kernel if grid is None else types_last(kernel, grid))
    return layer


def types_last(children: np.ndarray, grid: tuple[int, int, int]) -> np.ndarray:
    """Reorders the first axis from `(types, height, width)`, flattened, to types last.

    Raises:
        ValueError: If the grid has another number of children.
    """
    height, width, types = grid
    if height * width * types != len(children):
        raise ValueError(
            f"`grid` (height, width, types) must have {len(children)} children. "
            f"Received: grid={written(grid)}"
        )
    rest = children.shape[1:]
    moved = np.moveaxis(children.reshape(types, height, width, *rest), 0, 2)
    return moved.reshape(-1, *rest)
