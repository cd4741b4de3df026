"""Which children the cells of a convolution see: tables that depend on sizes alone."""

import math

import numpy as np
from keras import ops

from keras_capsules._arguments import positive_integer


class ReceptiveFields:
    """The windows that a kernel takes of a grid with one axis or more.

    Args:
        grid: Tuple of integers. Size of the children's grid.
        kernel_size: Tuple of integers. Size of a window.
        strides: Tuple of integers. Distance between windows.
        padding: `"valid"`, or `"same"`, which lets windows reach over the edge.

    Attributes:
        cells: Tuple of integers. Size of the grid of windows.
        taps: Integer. Positions in one window.
        positions: Integer array `(num_cells * taps,)`. The position on the flattened grid that
            each tap sees; beyond the edge the size of the grid, one past the last.
        present: Boolean array `(num_cells * taps,)`. Where a tap sees a position.
        complete: Boolean. Whether all of them do.

    Raises:
        ValueError: If the kernel is larger than the grid.
    """

    def __init__(self, grid, kernel_size, strides, padding):
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
        self.taps = math.prod(kernel_size)
        self.positions = windows.reshape(-1)
        self.present = self.positions < self.grid_size
        self.complete = bool(self.present.all())
        self.unchanged = np.array_equal(self.positions, np.arange(self.grid_size))

    def gather(self, values):
        """Takes the windows of values on a flattened grid, with zeros beyond its edge.

        Args:
            values: Tensor `(batch, grid_size, ...)`.

        Returns:
            Tensor `(batch, num_cells * taps, ...)`.
        """
        if self.unchanged:
            return values
        if not self.complete:
            values = ops.pad(values, [(0, 0), (0, 1)] + [(0, 0)] * (len(values.shape) - 2))
        return ops.take(values, self.positions, axis=1)

    def views(self):
        """Returns which taps see each position, and where each tap stands among them.

        Returns:
            Integer array `(grid_size, most)` of taps, numbered over all cells; where fewer than
            `most` see a position, the number of all taps fills the row. And the integer array
            `(num_cells * taps,)` of the places of the taps in the flattened first one.
        """
        taps = np.argsort(self.positions, kind="stable")[: np.count_nonzero(self.present)]
        owners = self.positions[taps]
        counts = np.bincount(owners, minlength=self.grid_size)
        ranks = np.arange(len(taps)) - np.repeat(np.cumsum(counts) - counts, counts)
        views = np.full((self.grid_size, counts.max()), len(self.positions), "int32")
        views[owners, ranks] = taps
        places = np.zeros(len(self.positions), "int32")
        places[taps] = owners * views.shape[1] + ranks
        return views, places


def grid_argument(name: str, value, rank: int) -> tuple:
    """Returns an integer or a tuple of them as one positive integer for each of `rank` axes."""
    sizes = tuple(value) if isinstance(value, (tuple, list)) else (value,) * rank
    if len(sizes) != rank:
        raise ValueError(
            f"`{name}` must be an integer or {rank} of them. Received: {name}={value!r}"
        )
    return tuple(positive_integer(name, size) for size in sizes)
