"""Defines the parents among which a child divides itself."""

from typing import Any

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
        library = fields.library
        self.window_size = fields.window_size
        self.cells = fields.num_cells
        self.positions = fields.grid_size
        self.complete = fields.complete
        self.by_position, self.way_back = fields.entries_by_position()
        self.present = fields.present[:, None]
        self.entries = self.cells * self.window_size
        seen = library.where(self.by_position < self.entries, 1.0, 0.0)
        windows = library.concatenate([library.sum(seen, axis=1), library.ones((1,))])
        windows = library.take(windows, fields.positions)
        # Number of windows that show the position of an entry.
        self.windows = library.reshape(windows, (-1, 1, self.window_size, 1))
        self.library = library

    def equal_shares(self, activations: Any, num_out: int) -> Any:
        num_in = activations.shape[1]
        shape = (self.cells, num_out, self.window_size, num_in // self.window_size)
        share = self.library.broadcast_to(1.0 / (num_out * self.windows), shape)
        share = self.library.reshape(share, (-1, num_out, num_in))
        zeros = ops.reshape(ops.zeros_like(activations), (-1, self.cells, 1, num_in))
        return ops.reshape(zeros + ops.cast(share, zeros.dtype), (-1, num_out, num_in))

    def softmax(self, logits: Any) -> Any:
        num_out, num_in = logits.shape[1:]
        types = num_in // self.window_size
        entries = ops.reshape(logits, (-1, self.cells, num_out, self.window_size, types))
        entries = ops.transpose(entries, (0, 1, 3, 2, 4))
        entries = ops.reshape(entries, (-1, self.entries, num_out * types))
        # The exponential of this row is zero. It stands for the cells that do not see a child.
        entries = ops.pad(entries, [(0, 0), (0, 1), (0, 0)], constant_values=-1e30)
        rivals = ops.take(entries, self.by_position, axis=1)
        most = self.by_position.shape[1]
        rivals = ops.reshape(rivals, (-1, self.positions, most * num_out, types))
        shares = ops.softmax(rivals, axis=2)
        shares = ops.reshape(shares, (-1, self.positions * most, num_out * types))
        shares = ops.take(shares, self.way_back, axis=1)
        shares = ops.reshape(shares, (-1, self.cells, self.window_size, num_out, types))
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
        entries = ops.reshape(values, (-1, self.entries, types))
        # The last row stands for the cells that do not see a child, and does not count.
        nothing = -1e30 if reduction is ops.max else 0.0
        entries = ops.pad(entries, [(0, 0), (0, 1), (0, 0)], constant_values=nothing)
        most = self.by_position.shape[1]
        rivals = ops.take(entries, self.library.reshape(self.by_position, (-1,)), axis=1)
        reduced = reduction(ops.reshape(rivals, (-1, self.positions, most, types)), axis=2)
        back = ops.take(reduced, self.way_back // most, axis=1)
        if not self.complete:  # Nothing beyond the edge has rivals.
            back = ops.where(self.present, back, entries[:, :-1])
        return ops.reshape(back, (-1, num_in))
