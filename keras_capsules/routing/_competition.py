"""Defines the parents among which a child divides itself."""

from typing import Any

import numpy as np
from keras import ops


class WithinTheCell:
    """Divides a child among the parents that it votes for in one call: `sum_j c_ij = 1`."""

    def equal_shares(self, activations: Any, num_out: int) -> Any:
        """Returns the coupling `(batch, num_out, num_in)` of children without a preference."""
        children = ops.expand_dims(ops.zeros_like(activations), 1)
        return children + ops.full((num_out, 1), 1.0 / num_out, children.dtype)

    def softmax(self, logits: Any) -> Any:
        """Turns logits `(batch, num_out, num_in)` into coupling."""
        return ops.softmax(logits, axis=1)


WITHIN_THE_CELL = WithinTheCell()


class AcrossCells:
    """Divides a child among the parents of all cells of a convolution that see it.

    `sum_j c_ij = 1` over the parents j at every position whose window contains the child. The batch
    axis of votes, logits and coupling includes the cells, `(batch * num_cells, ...)`. Their
    `num_in` children are the `window_size` entries of one window, each with several types.

    Args:
        fields: `keras_capsules._receptive_fields.ReceptiveFields`.
    """

    def __init__(self, fields: Any):
        self.window_size = fields.window_size
        self.by_position, self.way_back = fields.entries_by_position()
        windows = np.count_nonzero(self.by_position < len(self.way_back), axis=1)
        windows = np.append(windows, 1)[fields.positions]
        # Number of windows that show the position of an entry.
        self.windows = windows.reshape(-1, 1, fields.window_size, 1)

    def equal_shares(self, activations: Any, num_out: int) -> Any:
        cells, num_in = len(self.windows), activations.shape[1]
        share = np.broadcast_to(
            1.0 / (num_out * self.windows),
            (cells, num_out, self.window_size, num_in // self.window_size),
        ).reshape(cells, num_out, num_in)
        zeros = ops.reshape(ops.zeros_like(activations), (-1, cells, 1, num_in))
        return ops.reshape(zeros + ops.cast(share, zeros.dtype), (-1, num_out, num_in))

    def softmax(self, logits: Any) -> Any:
        num_out, num_in = logits.shape[1:]
        types, cells = num_in // self.window_size, len(self.windows)
        entries = ops.reshape(logits, (-1, cells, num_out, self.window_size, types))
        entries = ops.transpose(entries, (0, 1, 3, 2, 4))
        entries = ops.reshape(entries, (-1, self.way_back.size, num_out * types))
        # The exponential of this row is zero. It stands for the cells that do not see a child.
        entries = ops.pad(entries, [(0, 0), (0, 1), (0, 0)], constant_values=-1e30)
        rivals = ops.take(entries, self.by_position, axis=1)
        positions, most = self.by_position.shape
        shares = ops.softmax(ops.reshape(rivals, (-1, positions, most * num_out, types)), axis=2)
        shares = ops.reshape(shares, (-1, positions * most, num_out * types))
        shares = ops.take(shares, self.way_back, axis=1)
        shares = ops.reshape(shares, (-1, cells, self.window_size, num_out, types))
        return ops.reshape(ops.transpose(shares, (0, 1, 3, 2, 4)), (-1, num_out, num_in))
