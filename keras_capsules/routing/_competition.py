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
        self.present = fields.present[:, None]
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


class AcrossCellsInTraining(AcrossCells):
    """Computes the same shares as `AcrossCells`, in a quarter of the time.

    Only maxima and sums over the parents of a cell are gathered, and not all logits. In an exported
    file this would take more nodes.
    """

    def softmax(self, logits: Any) -> Any:
        highest = self._over_rivals(ops.max, ops.max(logits, axis=1))
        shares = ops.exp(logits - ops.expand_dims(ops.stop_gradient(highest), 1))
        total = self._over_rivals(ops.sum, ops.sum(shares, axis=1))
        return shares / ops.expand_dims(total, 1)

    def _over_rivals(self, reduction, values):
        """Reduces values `(batch * num_cells, num_in)` over the cells that see the same child.

        Returns:
            Tensor of the same shape. All entries that show a child have the same value.
        """
        num_in = values.shape[1]
        types = num_in // self.window_size
        entries = ops.reshape(values, (-1, self.way_back.size, types))
        # The last row stands for the cells that do not see a child, and does not count.
        nothing = -1e30 if reduction is ops.max else 0.0
        entries = ops.pad(entries, [(0, 0), (0, 1), (0, 0)], constant_values=nothing)
        positions, most = self.by_position.shape
        rivals = ops.take(entries, self.by_position.reshape(-1), axis=1)
        reduced = reduction(ops.reshape(rivals, (-1, positions, most, types)), axis=2)
        back = ops.take(reduced, self.way_back // most, axis=1)
        if not self.present.all():  # Nothing beyond the edge has rivals.
            back = ops.where(self.present, back, entries[:, :-1])
        return ops.reshape(back, (-1, num_in))
