"""Tabulates the children that each cell of a convolution sees, which depends on sizes alone."""

import functools
import math
import operator
from typing import Any

import numpy as np
from keras import ops

from keras_capsules._arguments import positive_integer


class ReceptiveFields:
    """Lists the windows of a kernel on a grid with one axis or more.

    Each cell of the convolution has one window. The entries of all windows are numbered one after
    the other, from 0 to `num_cells * window_size`, and each shows one position of the grid.

    The tables are arrays, which are constants in a graph. If a size of the grid is a tensor, they
    are tensors.

    Args:
        grid: Tuple of integers and scalar tensors. Size of the children's grid.
        kernel_size: Tuple of integers. Size of a window.
        strides: Tuple of integers. Distance between windows.
        padding: `"valid"`, or `"same"`, which lets windows reach over the edge.

    Attributes:
        grid: Tuple. As above.
        grid_size: Number of positions on the grid.
        library: `numpy`, or `keras.ops` if the tables are tensors.
        cells: Tuple. Size of the grid of windows.
        num_cells: Number of windows.
        window_size: Integer. Number of entries of one window.
        positions: Integers `(num_cells * window_size,)`. The position on the flattened grid that
            each entry shows. Entries beyond the edge have `grid_size`, one past the last position.
        present: Booleans `(num_cells * window_size,)`. `True` where an entry shows a position.
        complete: Boolean. Whether all entries show a position. `False` if that is unknown.
        unchanged: Boolean. Whether the entries are the positions of the grid, in the same order.
            `False` if that is unknown.

    Raises:
        ValueError: If the kernel is larger than the grid.
    """

    def __init__(self, grid: tuple, kernel_size: tuple, strides: tuple, padding: str):
        self.grid = tuple(grid)
        self.grid_size = math.prod(grid)
        known = all(isinstance(size, int) for size in grid)
        self.library: Any = np if known else ops
        self.window_size = math.prod(kernel_size)
        self._kernel_size, self._strides = kernel_size, strides
        self.cells, self._before = self._geometry(padding)
        self.num_cells = math.prod(self.cells)
        positions, present = [], []
        for axis in range(len(grid)):
            places, shown = self._places(axis)
            positions.append(places * math.prod(self.grid[axis + 1 :]))
            present.append(shown)
        self.present = self._over_axes(operator.and_, present)
        positions = self._over_axes(operator.add, positions)
        self.positions = self.library.where(self.present, positions, self.grid_size)
        self.complete = bool(self.present.all()) if known else padding == "valid"
        self.unchanged = known and np.array_equal(self.positions, np.arange(self.grid_size))

    def gather(self, values: Any) -> Any:
        """Takes the windows of values on a flattened grid, with zeros beyond its edge.

        Args:
            values: Tensor `(batch, grid_size, ...)`.

        Returns:
            Tensor `(batch, num_cells * window_size, ...)`.
        """
        if self.unchanged:
            return values
        if not self.complete:
            values = ops.pad(values, [(0, 0), (0, 1)] + [(0, 0)] * (len(values.shape) - 2))
        return ops.take(values, self.positions, axis=1)

    def entries_by_position(self) -> tuple[Any, Any]:
        """Returns the entries that show each position, and the inverse of this table.

        Returns:
            Two tables of integers. The first, `(grid_size, most)`, has the entries that show each
            position; where there are fewer than `most`, the number of all entries stands instead.
            The second, `(num_cells * window_size,)`, has the index of each entry in the flattened
            first table.
        """
        most = [-(-k // s) for k, s in zip(self._kernel_size, self._strides, strict=True)]
        if self.library is np:
            most = [min(pair) for pair in zip(most, self.cells, strict=True)]
        entries, shown, columns = [], [], []
        for axis, (kernel, stride) in enumerate(zip(self._kernel_size, self._strides, strict=True)):
            cells = self.cells[axis]
            # The last window that starts before a position sees it, and so do some before that.
            places = self._count(self.grid[axis])[:, None] + self._before[axis]
            last = self.library.minimum(places // stride, cells - 1)
            windows = last - self._count(most[axis])
            taps = places - windows * stride
            shown.append((windows >= 0) & (taps < kernel))
            windows = windows * (math.prod(self.cells[axis + 1 :]) * self.window_size)
            entries.append(windows + taps * math.prod(self._kernel_size[axis + 1 :]))
            windows = self._count(cells)[:, None]
            last = self.library.minimum(windows + self._count(kernel) // stride, cells - 1)
            columns.append((last - windows) * math.prod(most[axis + 1 :]))
        every = math.prod(most)
        by_position = self.library.where(
            self._over_axes(operator.and_, shown),
            self._over_axes(operator.add, entries),
            self.num_cells * self.window_size,
        )
        way_back = self.positions * every + self._over_axes(operator.add, columns)
        way_back = self.library.where(self.present, way_back, 0)
        return self.library.reshape(by_position, (-1, every)), way_back

    def _geometry(self, padding):
        """Returns the grid of windows, and how far the first window reaches over the edge."""
        cells = cells_of(self.grid, self._kernel_size, self._strides, padding)
        if padding == "valid":
            return cells, [0] * len(cells)
        axes = zip(self.grid, cells, self._kernel_size, self._strides, strict=True)
        larger = max if self.library is np else ops.maximum
        return cells, [
            larger((count - 1) * stride + kernel - size, 0) // 2
            for size, count, kernel, stride in axes
        ]

    def _places(self, axis):
        """Returns where the windows' entries are on an axis, `(cells, kernel_size)`, and which are.

        Of the others the place does not matter.
        """
        starts = self._count(self.cells[axis])[:, None] * self._strides[axis]
        places = starts + self._count(self._kernel_size[axis]) - self._before[axis]
        return places, (places >= 0) & (places < self.grid[axis])

    def _count(self, number):
        return self.library.arange(number, dtype="int32")

    def _over_axes(self, combine, tables):
        """Combines the tables `(a, b)` of the axes to one, flattened from `(a1, a2, b1, b2)`."""
        rank, spread = len(tables), []
        for axis, table in enumerate(tables):
            index: list = [None] * (2 * rank)
            index[axis] = index[rank + axis] = slice(None)
            spread.append(table[tuple(index)])
        return self.library.reshape(functools.reduce(combine, spread), (-1,))


def cells_of(grid: tuple, kernel_size: tuple, strides: tuple, padding: str) -> tuple:
    """Returns the size of the grid of windows, `None` or a tensor on axes where the grid has it.

    Raises:
        ValueError: If the kernel is larger than the grid.
    """
    cells = []
    for size, kernel, stride in zip(grid, kernel_size, strides, strict=True):
        if padding == "valid" and isinstance(size, int) and kernel > size:
            raise ValueError(
                "The kernel is larger than the grid of capsules. Choose a smaller `kernel_size`, "
                f'or padding="same". Received: kernel_size={tuple(kernel_size)}, grid={tuple(grid)}'
            )
        starts = None if size is None else size if padding == "same" else size - kernel + 1
        cells.append(None if starts is None else (starts + stride - 1) // stride)
    return tuple(cells)


def present_cells(mask: Any, kernel_size: tuple, strides: tuple, padding: str) -> Any:
    """Returns which cells see something present, `(batch, *cells)`, of a mask `(batch, *grid)`."""
    present = ops.expand_dims(ops.cast(mask, "float32"), -1)
    options = {"padding": padding, "data_format": "channels_last"}
    # Of a saved model Keras loads a tuple as a list, which the operation does not take under JAX.
    sizes = (size[0] if len(set(size)) == 1 else size for size in (kernel_size, strides))
    return ops.squeeze(ops.max_pool(present, *sizes, **options), -1) > 0.5


def grid_argument(name: str, value: Any, rank: int) -> tuple:
    """Turns an integer or a tuple of integers into one positive integer for each of `rank` axes."""
    sizes = tuple(value) if isinstance(value, (tuple, list)) else (value,) * rank
    if len(sizes) != rank:
        raise ValueError(
            f"`{name}` must be an integer or {rank} of them. Received: {name}={value!r}"
        )
    return tuple(positive_integer(name, size) for size in sizes)
