"""Among which parents a child divides itself."""

import numpy as np
from keras import ops


class WithinTheCell:
    """Among the parents that it votes for in one call: `sum_j c_ij = 1`."""

    def equal_shares(self, activations, num_out):
        """Returns the coupling `(batch, num_out, num_in)` of children that have no preference."""
        children = ops.expand_dims(ops.zeros_like(activations), 1)
        return children + ops.full((num_out, 1), 1.0 / num_out, children.dtype)

    def softmax(self, logits):
        """Turns logits `(batch, num_out, num_in)` into coupling."""
        return ops.softmax(logits, axis=1)


WITHIN_THE_CELL = WithinTheCell()


class AcrossCells:
    """Among the parents of all cells of a convolution that see it.

    `sum_j c_ij = 1` over the parents j at every position whose window holds the child. Votes,
    logits and coupling have the cells among the batch: `(batch * num_cells, ...)`.

    Args:
        fields: `keras_capsules._receptive_fields.ReceptiveFields`.
    """

    def __init__(self, fields):
        self.taps = fields.taps
        self.views, self.places = fields.views()
        seen = np.count_nonzero(self.views < len(self.places), axis=1)
        self.seen = np.append(seen, 1)[fields.positions].reshape(-1, 1, fields.taps, 1)

    def equal_shares(self, activations, num_out):
        num_in = activations.shape[1]
        share = np.broadcast_to(
            1.0 / (num_out * self.seen), (len(self.seen), num_out, self.taps, num_in // self.taps)
        ).reshape(len(self.seen), num_out, num_in)
        cells = ops.reshape(ops.zeros_like(activations), (-1, len(self.seen), 1, num_in))
        return ops.reshape(cells + ops.cast(share, cells.dtype), (-1, num_out, num_in))

    def softmax(self, logits):
        num_out, num_in = logits.shape[1:]
        types, cells = num_in // self.taps, len(self.seen)
        taps = ops.reshape(logits, (-1, cells, num_out, self.taps, types))
        taps = ops.transpose(taps, (0, 1, 3, 2, 4))
        taps = ops.reshape(taps, (-1, self.places.size, num_out * types))
        # A row that no exponential survives stands for the cells that do not see a child.
        taps = ops.pad(taps, [(0, 0), (0, 1), (0, 0)], constant_values=-1e30)
        seen = ops.take(taps, self.views, axis=1)
        positions, most = self.views.shape
        shares = ops.softmax(ops.reshape(seen, (-1, positions, most * num_out, types)), axis=2)
        shares = ops.reshape(shares, (-1, positions * most, num_out * types))
        shares = ops.take(shares, self.places, axis=1)
        shares = ops.reshape(shares, (-1, cells, self.taps, num_out, types))
        return ops.reshape(ops.transpose(shares, (0, 1, 3, 2, 4)), (-1, num_out, num_in))
