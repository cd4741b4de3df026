"""Tabulates the children that each cell of a transposed convolution sees."""

import math
import operator
from typing import Any

import numpy as np

from keras_capsules._receptive_fields import ReceptiveFields


class TransposedFields(ReceptiveFields):
    """Lists the windows of a transposed convolution, in the tables of `ReceptiveFields`.

    Tap t of the kernel lets the child at position p vote for the cell `p * stride + t - before`.
    So a cell has an entry for each tap. With strides above one most entries show no position.

    The arguments and attributes are those of `ReceptiveFields`. `"same"` makes `stride` cells of
    each position. `"valid"` adds the cells that the kernel reaches beyond them.
    """

    def __init__(self, grid: tuple, kernel_size: tuple, strides: tuple, padding: str):
        super().__init__(grid, kernel_size, strides, padding)
        self.complete = self.complete and self.library is np

    def entries_by_position(self) -> tuple[Any, Any]:
        entries, shown, columns = [], [], []
        for axis, (kernel, stride) in enumerate(zip(self._kernel_size, self._strides, strict=True)):
            taps, size = self._count(kernel), self.cells[axis]
            cells = self._count(self.grid[axis])[:, None] * stride + taps - self._before[axis]
            shown.append((cells >= 0) & (cells < size))
            cells = cells * (math.prod(self.cells[axis + 1 :]) * self.window_size)
            entries.append(cells + taps * math.prod(self._kernel_size[axis + 1 :]))
            first = self._count(size)[:, None] * 0
            columns.append(first + taps * math.prod(self._kernel_size[axis + 1 :]))
        by_position = self.library.where(
            self._over_axes(operator.and_, shown),
            self._over_axes(operator.add, entries),
            self.num_cells * self.window_size,
        )
        way_back = self.positions * self.window_size + self._over_axes(operator.add, columns)
        way_back = self.library.where(self.present, way_back, 0)
        return self.library.reshape(by_position, (-1, self.window_size)), way_back

    def _geometry(self, padding):
        cells = transposed_cells(self.grid, self._kernel_size, self._strides, padding)
        return cells, positions_before(self._kernel_size, self._strides, padding)

    def _places(self, axis):
        stride = self._strides[axis]
        cells = self._count(self.cells[axis])[:, None] + self._before[axis]
        distances = cells - self._count(self._kernel_size[axis])
        places = distances // stride
        met = places * stride == distances
        return places, met & (places >= 0) & (places < self.grid[axis])


def transposed_cells(grid: tuple, kernel_size: tuple, strides: tuple, padding: str) -> tuple:
    """Returns the size of the grid of cells, `None` or a tensor on axes where the grid has it."""
    extra = [0] * len(grid)
    if padding == "valid":
        extra = [max(k - s, 0) for k, s in zip(kernel_size, strides, strict=True)]
    axes = zip(grid, strides, extra, strict=True)
    return tuple(None if size is None else size * stride + more for size, stride, more in axes)


def positions_before(kernel_size: tuple, strides: tuple, padding: str) -> list[int]:
    """Returns how many cells before the first the kernel reaches, which are cut off."""
    if padding == "valid":
        return [0] * len(kernel_size)
    return [max(k - s, 0) // 2 for k, s in zip(kernel_size, strides, strict=True)]
