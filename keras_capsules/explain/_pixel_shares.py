"""Divides what the cells of a feature map hold among the pixels that they see."""

import math
from typing import Any

import keras
import numpy as np
from keras import ops

from keras_capsules._graph import name_of, producer
from keras_capsules._receptive_fields import ReceptiveFields


def spread(values: Any, feature_map: keras.KerasTensor, weights: Any = None) -> Any:
    """Divides values of cells among the pixels, or the steps of a sequence, by `pixel_shares`.

    Args:
        values: Tensor `(batch, height, width)` or `(batch, length)`.
        feature_map: Tensor of these cells in the graph of a model.
        weights: Tensor of the size of the result, positive: pixels that a cell sees alike get
            shares in this proportion. `None`, the default, for even shares.

    Returns:
        Tensor `(batch, height, width)` or `(batch, length)` of the size of the model's input.
    """
    grid = len(values.shape) - 1
    shares = [
        pixel_shares(feature_map, axis, grid).astype("float32") for axis in range(1, 1 + grid)
    ]
    if weights is None:
        return _through(values, shares)
    seen = _through(weights, [share.T for share in shares])
    return weights * _through(values / seen, shares)


def _through(values: Any, shares: list[np.ndarray]) -> Any:
    """Multiplies each axis of a grid by its matrix."""
    if len(shares) == 1:
        return ops.matmul(values, shares[0].T)
    return ops.matmul(ops.matmul(shares[0], values), shares[1].T)


def pixel_shares(tensor: keras.KerasTensor, axis: int, grid: int = 2) -> np.ndarray:
    """Computes how the cells of a feature map divide themselves among the pixels of the input.

    Each layer between them divides a cell evenly among what its window sees, so a column is the
    receptive field of a cell: highest in its middle, and summing to one. A layer that changes the
    size in another way counts as an even division of its whole input. Where branches meet, a cell
    is the mean of the branches: of those with the largest maps, if they come from feature maps
    alone.

    Args:
        tensor: `keras.KerasTensor` `(batch, height, width, ...)` or `(batch, length, ...)`.
        axis: Integer, 1 for the rows or the steps, 2 for the columns.
        grid: Integer, the number of such axes: 2 for images, 1 for sequences.

    Returns:
        Array `(pixels, cells)`.

    Raises:
        ValueError: If no way from the map to the input leads through feature maps alone.

    Reference:
        Lapuschkin et al., 2017, "Understanding and Comparing Deep Neural Networks for Age and
        Gender Classification", arXiv 1708.07689 (the flat rule).
    """
    wanted = _shares(tensor, axis, grid)
    if wanted is None:
        raise ValueError(
            f"The map that {name_of(tensor)!r} makes does not come from a feature map, so its "
            "cells cannot be located in the image. Name a `layer` whose capsules come from feature "
            "maps (batch, height, width, channels), or call `grad_cam` for such a map below them. "
            f"Received: a map of shape {tensor.shape}"
        )
    return wanted


def is_located(tensor: keras.KerasTensor, grid: int = 2) -> bool:
    """Says whether `pixel_shares` can locate the cells of a feature map in the input."""
    return _shares(tensor, 1, grid) is not None


def _shares(tensor, axis, grid):
    shares = {}

    def look(x: keras.KerasTensor) -> np.ndarray | None:
        if id(x) not in shares:
            shares[id(x)] = _look(x, axis, grid, look)
        return shares[id(x)]

    return look(tensor)


def _look(tensor, axis, grid, look):
    operation, sources, _ = producer(tensor)
    cells = tensor.shape[axis]
    if not sources:
        return np.eye(cells) if len(tensor.shape) in (1 + grid, 2 + grid) else None
    sizes = tensor.shape[: 1 + grid]
    maps = [x for x in sources if len(x.shape) > 1 + grid or x.shape == sizes]
    maps = [x for x in maps if look(x) is not None]
    if not maps:
        return None
    largest = max(_cells(x, grid) for x in maps)
    branches = [x for x in maps if _cells(x, grid) == largest]
    return np.mean([look(x) @ _window(operation, x.shape[axis], cells, axis) for x in branches], 0)


def _cells(tensor, grid):
    return math.prod(tensor.shape[1 : 1 + grid])


def _window(operation, size, cells, axis):
    """Computes how the cells of a layer's output divide themselves among those of its input."""
    kernel = getattr(operation, "kernel_size", None) or getattr(operation, "pool_size", None)
    if kernel is not None:
        dilation = getattr(operation, "dilation_rate", (1, 1))[axis - 1]
        width = (kernel[axis - 1] - 1) * dilation + 1
        stride = operation.strides[axis - 1]
        fields = ReceptiveFields((size,), (width,), (stride,), operation.padding)
        if fields.cells == (cells,):
            seen = fields.positions.reshape(cells, width)
            window = (seen[:, :, None] == np.arange(size)).sum(axis=1).T
            return window / window.sum(axis=0)
    if size == cells:
        return np.eye(size)
    edges = np.arange(cells + 1) * size / cells
    pixels = np.arange(size)[:, None]
    overlap = np.minimum(pixels + 1, edges[1:]) - np.maximum(pixels, edges[:-1])
    return np.maximum(overlap, 0) * cells / size
