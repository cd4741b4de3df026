"""Tabulates the children that each cell of a convolution sees, which depends on sizes alone."""

import math
from typing import Any

import numpy as np
from keras import ops

from keras_capsules._arguments import positive_integer


class ReceptiveFields:
    """Lists the windows of a kernel on a grid with one axis or more.

    Each cell of the convolution has one window. The entries of all windows are numbered one after
    the other, from 0 to `num_cells * window_size`, and each shows one position of the grid.

    Args:
        grid: Tuple of integers. Size of the children's grid.
        kernel_size: Tuple of integers. Size of a window.
        strides: Tuple of integers. Distance between windows.
        padding: `"valid"`, or `"same"`, which lets windows reach over the edge.

    Attributes:
        grid: Tuple of integers. As above.
        grid_size: Integer. Number of positions on the grid.
        cells: Tuple of integers. Size of the grid of windows.
        window_size: Integer. Number of entries of one window.
        positions: Integer array `(num_cells * window_size,)`. The position on the flattened grid
            that each entry shows. Entries beyond the edge have `grid_size`, one past the last
            position.
        present: Boolean array `(num_cells * window_size,)`. `True` where an entry shows a position.
        complete: Boolean. Whether all entries show a position.
        unchanged: Boolean. Whether the entries are the positions of the grid, in the same order.

    Raises:
        ValueError: If the kernel is larger than the grid.
    """

    def __init__(self, grid: tuple, kernel_size: tuple, strides: tuple, padding: str):
        self.grid = tuple(grid)
        self.grid_size = math.prod(grid)
        positions = np.arange(self.grid_size, dtype="int32").reshape(grid)
        if padding == "same":
            missing = [
                max((-(-size // stride) - 1) * stride + kernel - size, 0)
                for size, kernel, stride in zip(grid, kernel_size, strides, strict=True)
            ]
            edges = [(total // 2, total - total // 2) for total in missing]
            positions = np.pad(positions, edges, constant_values=self.grid_size)
        elif any(kernel > size for kernel, size in zip(kernel_size, grid, strict=True)):
            raise ValueError(
                "The kernel is larger than the grid of capsules. Choose a smaller `kernel_size`, "
                f'or padding="same". Received: kernel_size={tuple(kernel_size)}, grid={tuple(grid)}'
            )
        windows = np.lib.stride_tricks.sliding_window_view(positions, kernel_size)
        windows = windows[tuple(slice(None, None, stride) for stride in strides)]
        self.cells = windows.shape[: len(grid)]
        self.window_size = math.prod(kernel_size)
        self.positions = windows.reshape(-1)
        self.present = self.positions < self.grid_size
        self.complete = bool(self.present.all())
        self.unchanged = np.array_equal(self.positions, np.arange(self.grid_size))

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

    def entries_by_position(self) -> tuple[np.ndarray, np.ndarray]:
        """Returns the entries that show each position, and the inverse of this table.

        Returns:
            Two integer arrays. The first, `(grid_size, most)`, has the entries that show each
            position; where there are fewer than `most`, the number of all entries fills the row.
            The second, `(num_cells * window_size,)`, has the index of each entry in the flattened
            first array.
        """
        entries = np.argsort(self.positions, kind="stable")[: np.count_nonzero(self.present)]
        shown = self.positions[entries]
        counts = np.bincount(shown, minlength=self.grid_size)
        columns = np.arange(len(entries)) - np.repeat(np.cumsum(counts) - counts, counts)
        by_position = np.full((self.grid_size, counts.max()), len(self.positions), "int32")
        by_position[shown, columns] = entries
        way_back = np.zeros(len(self.positions), "int32")
        way_back[entries] = shown * by_position.shape[1] + columns
        return by_position, way_back


def grid_argument(name: str, value: Any, rank: int) -> tuple:
    """Turns an integer or a tuple of integers into one positive integer for each of `rank` axes."""
    sizes = tuple(value) if isinstance(value, (tuple, list)) else (value,) * rank
    if len(sizes) != rank:
        raise ValueError(
            f"`{name}` must be an integer or {rank} of them. Received: {name}={value!r}"
        )
    return tuple(positive_integer(name, size) for size in sizes)
