"""Keeps votes as one tensor."""

from typing import Any

from keras import ops

from keras_capsules.ops import at_least_float32
from keras_capsules.routing._competition import WITHIN_THE_CELL
from keras_capsules.routing.votes.base import Fit, Votes
from keras_capsules.routing.votes.sums import (
    agreements,
    squares,
    sums,
    without_absent,
)


class StoredVotes(Votes):
    """Votes that a layer computes once and stores.

    Args:
        tensor: Tensor `(batch, num_out, num_in, dim)`. Half precision is cast to float32.
        dtype: String or `None`, see `Votes`. `None`, the default, takes the tensor's data type.
        competition: Object that divides a child among parents, see `Votes`.
        unit: Float. Number by which the votes have been divided, see `Votes`. Defaults to `1.0`.
    """

    def __init__(
        self,
        tensor: Any,
        dtype: str | None = None,
        competition: Any = WITHIN_THE_CELL,
        unit: float = 1.0,
    ):
        self.unit = unit
        stored = at_least_float32(tensor)
        super().__init__(tensor.shape, dtype or tensor.dtype, tensor, competition, stored)

    def combine(self, coupling: Any) -> Any:
        return sums(coupling, self.tensor)

    def agreement(self, parents: Any) -> Any:
        return agreements(parents, self.tensor)

    def fit(self, weights: Any) -> Fit:
        weights = ops.expand_dims(weights, 2)
        mean = ops.matmul(weights, self.tensor)
        about_mean = ops.square(self.tensor - mean)
        variance = ops.squeeze(ops.matmul(weights, about_mean), axis=2)

        def distances(inverse, center=None):
            if center is None:
                return agreements(inverse, about_mean)
            return self.distances(center, inverse)

        return Fit(ops.squeeze(mean, axis=2), variance, distances)

    def distances(self, center: Any, inverse: Any) -> Any:
        return agreements(inverse, squares(center, self.tensor))

    def constant(self) -> "StoredVotes":
        return self._with(ops.stop_gradient(self.tensor))

    def present(self, mask: Any) -> "StoredVotes":
        return self._with(without_absent(self.tensor, mask))

    def scaled(self, factor: float) -> "StoredVotes":
        return self._with(self.tensor * factor)

    # A reduction is faster than the matmul of the base class, and a single node when exported.

    def total(self) -> Any:
        return ops.sum(self.tensor, axis=2)

    def mean_component(self) -> Any:
        return ops.mean(self.tensor, axis=3)

    def _with(self, tensor):
        return StoredVotes(tensor, self.dtype, self.competition, self.unit)
