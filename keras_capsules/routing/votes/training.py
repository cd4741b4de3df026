"""Keeps votes as one tensor for training, and computes one gradient for all sums over them."""

from typing import Any

from keras import ops

from keras_capsules.ops import at_least_float32
from keras_capsules.routing.votes.base import Votes
from keras_capsules.routing.votes.shared_gradient import (
    gradient_slots,
    weighted_agreement,
    weighted_sum,
)
from keras_capsules.routing.votes.stored import StoredVotes, agreements, sums, without_absent


class TrainingVotes(Votes):
    """Stored votes whose gradient is one matmul instead of one large tensor for each sum.

    `dvotes_ij = sum_k c_ij^k v_j^k`, for the pairs of coupling and parents that the sums pass on.
    There is no forward-mode derivative.

    Args:
        tensor: Tensor `(batch, num_out, num_in, dim)`. Half precision is cast to float32.
        expected_sums: Integer. Expected number of sums, see `gradient_slots`.
        dtype: String or `None`, see `Votes`. `None`, the default, takes the tensor's data type.
    """

    def __init__(self, tensor: Any, expected_sums: int, dtype: str | None = None):
        super().__init__(tensor.shape, dtype or tensor.dtype, tensor)
        self.expected_sums = expected_sums
        shape = ops.shape(tensor)
        # Flattened and restored, because PyTorch multiplies slowly if votes are a transposed view.
        flat = ops.reshape(at_least_float32(tensor), (-1, shape[3]))
        self.tensor = ops.reshape(flat, shape)
        self._slots = gradient_slots(expected_sums, *shape[1:], _votes_gradient, self.tensor)

    def combine(self, coupling: Any) -> Any:
        return weighted_sum(sums, agreements, coupling, next(self._slots), self.tensor)

    def agreement(self, parents: Any) -> Any:
        return weighted_agreement(sums, agreements, parents, next(self._slots), self.tensor)

    def constant(self) -> StoredVotes:
        return StoredVotes(ops.stop_gradient(self.tensor), self.dtype)

    def present(self, mask: Any) -> "TrainingVotes":
        tensor = without_absent(self.tensor, mask)
        return TrainingVotes(tensor, self.expected_sums, self.dtype)

    def total(self) -> Any:
        # Like the base class, but without a matmul and without a derivative by the constant shares.
        shares, slot = self.equal_shares(1.0), next(self._slots)
        return weighted_sum(_total, lambda *args: None, shares, slot, self.tensor)


def _total(shares, tensor):
    return ops.sum(tensor, axis=2)


def _votes_gradient(pairs, tensor):
    coupling, parents = pairs[..., : -tensor.shape[3]], pairs[..., -tensor.shape[3] :]
    return ops.matmul(ops.transpose(coupling, (1, 2, 3, 0)), ops.transpose(parents, (1, 2, 0, 3)))
