"""Keeps votes as one tensor for training, and computes one gradient for all sums over them."""

from typing import Any

from keras import ops

from keras_capsules.ops import at_least_float32
from keras_capsules.routing._competition import WITHIN_THE_CELL
from keras_capsules.routing.votes import kept_squares
from keras_capsules.routing.votes import sums as of_tensor
from keras_capsules.routing.votes.base import Fit
from keras_capsules.routing.votes.shared_gradient import (
    SharedGradientVotes,
    weighted_distances,
    weighted_moments,
    weighted_sum,
)
from keras_capsules.routing.votes.stored import StoredVotes


class TrainingVotes(SharedGradientVotes):
    """Stored votes whose gradient is one matmul instead of one large tensor for each sum.

    Args:
        tensor: Tensor `(batch, num_out, num_in, dim)`. Half precision is cast to float32.
        expected_sums: Integer. Expected number of sums, see `gradient_slots`.
        dtype: String or `None`, see `Votes`. `None`, the default, takes the tensor's data type.
        competition: Object that divides a child among parents, see `Votes`.
        unit: Float. Number by which the votes have been divided, see `Votes`. Defaults to `1.0`.
    """

    def __init__(
        self,
        tensor: Any,
        expected_sums: int,
        dtype: str | None = None,
        competition: Any = WITHIN_THE_CELL,
        unit: float = 1.0,
    ):
        self.unit = unit
        shape = ops.shape(tensor)
        # Flattened and restored, because PyTorch multiplies slowly if votes are a transposed view.
        flat = ops.reshape(at_least_float32(tensor), (-1, shape[3]))
        stored = ops.reshape(flat, shape)
        super().__init__(tensor.shape, dtype or tensor.dtype, tensor, competition, stored)
        self._share_gradient(expected_sums, stored)

    def constant(self) -> StoredVotes:
        return StoredVotes(ops.stop_gradient(self.tensor), self.dtype, self.competition, self.unit)

    def present(self, mask: Any) -> "TrainingVotes":
        return self._with(of_tensor.without_absent(self.tensor, mask))

    def scaled(self, factor: float) -> "TrainingVotes":
        return self._with(self.tensor * factor)

    def total(self) -> Any:
        # Like the base class, but without a matmul and without a derivative by the constant shares.
        shares, slot = self.equal_shares(1.0), next(self._slots)
        return weighted_sum(_total, lambda *args: None, shares, slot, self.tensor)

    def fit(self, weights: Any) -> Fit:
        # Kept, because PyTorch takes ten times as long to make a large tensor as to read it.
        sources = kept_squares.sources_of(weights, self.tensor)
        moments, slopes = kept_squares.moments, kept_squares.slopes
        found = weighted_moments(moments, slopes, weights, next(self._moment_slots), *sources)
        mean, variance = ops.split(found, 2, axis=2)

        def distances(inverse, center=None):
            function, others = kept_squares.distances, kept_squares.moments_about
            if center is None:
                function, center = kept_squares.distances_from_mean, mean
            slot = next(self._moment_slots)
            return weighted_distances(function, others, center, inverse, slot, *sources)

        return Fit(mean, variance, distances)

    def _with(self, tensor):
        return TrainingVotes(tensor, self.expected_sums, self.dtype, self.competition, self.unit)

    def _applied(self, function, size):
        return function

    def _backward(self, function):
        return function


def _total(shares, tensor):
    return ops.sum(tensor, axis=2)
