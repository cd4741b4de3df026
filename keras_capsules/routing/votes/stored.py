"""Keeps votes as one tensor."""

from typing import Any

from keras import ops

from keras_capsules.ops import at_least_float32
from keras_capsules.routing._competition import WITHIN_THE_CELL
from keras_capsules.routing.votes.base import Votes


class StoredVotes(Votes):
    """Votes that a layer computes once and stores.

    Args:
        tensor: Tensor `(batch, num_out, num_in, dim)`. Half precision is cast to float32.
        dtype: String or `None`, see `Votes`. `None`, the default, takes the tensor's data type.
        competition: Object that divides a child among parents, see `Votes`.
    """

    def __init__(self, tensor: Any, dtype: str | None = None, competition: Any = WITHIN_THE_CELL):
        super().__init__(tensor.shape, dtype or tensor.dtype, tensor)
        self.tensor = at_least_float32(tensor)
        self.competition = competition

    def combine(self, coupling: Any) -> Any:
        return sums(coupling, self.tensor)

    def agreement(self, parents: Any) -> Any:
        return agreements(parents, self.tensor)

    def constant(self) -> "StoredVotes":
        return StoredVotes(ops.stop_gradient(self.tensor), self.dtype, self.competition)

    def present(self, mask: Any) -> "StoredVotes":
        return StoredVotes(without_absent(self.tensor, mask), self.dtype, self.competition)

    # A reduction is faster than the matmul of the base class, and a single node when exported.

    def total(self) -> Any:
        return ops.sum(self.tensor, axis=2)

    def mean_component(self) -> Any:
        return ops.mean(self.tensor, axis=3)


def sums(coupling: Any, tensor: Any) -> Any:
    """Computes `sum_i c_ij tensor_ij`, `(batch, num_out, dim)`."""
    return ops.squeeze(ops.matmul(ops.expand_dims(coupling, 2), tensor), axis=2)


def agreements(parents: Any, tensor: Any) -> Any:
    """Computes `tensor_ij . v_j`, `(batch, num_out, num_in)`."""
    return ops.squeeze(ops.matmul(tensor, ops.expand_dims(parents, 3)), axis=3)


def without_absent(tensor: Any, mask: Any) -> Any:
    """Puts zeros where the boolean mask `(batch, num_in)` is false."""
    return ops.where(mask[:, None, :, None], tensor, 0.0)
