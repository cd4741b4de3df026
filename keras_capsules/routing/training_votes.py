"""Stored votes in training, with one gradient for all sums over them."""

from keras import ops

from keras_capsules.routing.vote_gradient import (
    no_derivative,
    weighted_agreement,
    weighted_sum,
    zeros_for,
)


class TrainingVotes:
    """Votes whose gradient is one matmul, not a tensor as large as they are for each sum.

    `dvotes_ij = sum_k c_ij^k v_j^k`, for the pairs of coupling and parents that the sums hand on.

    Args:
        votes: Tensor `(batch, num_out, num_in, dim)`.
        num_sums: Integer. The number of sums that have a gradient together.
    """

    def __init__(self, votes, num_sums: int):
        self.shape = votes.shape
        shape = ops.shape(votes)
        # There and back, for PyTorch is slow in multiplying votes that are a transposed view.
        self.votes = ops.reshape(ops.reshape(votes, (-1, shape[3])), shape)
        self.zeros = zeros_for(num_sums, *shape[1:], _add, self.votes)

    def constant(self):
        return ops.stop_gradient(self.votes)

    def total(self):
        ones = self.equal_shares(1.0)
        return weighted_sum(_total, no_derivative, ones, next(self.zeros), self.votes)

    def combine(self, coupling):
        return weighted_sum(_sums, _agreements, coupling, next(self.zeros), self.votes)

    def agreement(self, parents):
        return weighted_agreement(_sums, _agreements, parents, next(self.zeros), self.votes)

    def mean_component(self):
        return self.agreement(ops.zeros_like(self.votes[:, :, 0]) + 1 / self.shape[3])

    def equal_shares(self, share):
        return ops.zeros_like(self.votes[:, :, :, 0]) + share


def _total(ones, votes):
    return ops.sum(votes, axis=2)


def _sums(coupling, votes):
    return ops.squeeze(ops.matmul(ops.expand_dims(coupling, 2), votes), axis=2)


def _agreements(parents, votes):
    return ops.squeeze(ops.matmul(votes, ops.expand_dims(parents, 3)), axis=3)


def _add(pairs, votes):
    coupling, parents = pairs[..., : -votes.shape[3]], pairs[..., -votes.shape[3] :]
    return ops.matmul(ops.transpose(coupling, (1, 2, 3, 0)), ops.transpose(parents, (1, 2, 0, 3)))
