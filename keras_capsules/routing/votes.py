"""Sums over votes, which a layer may have stored or may compute anew each time.

Routings that look at votes only through these functions work with all of them: with a tensor
`(batch, num_out, num_in, dim)`, with `TrainingVotes` and with `LeanVotes`.
"""

from keras import ops

from keras_capsules.routing.lean_votes import LeanVotes
from keras_capsules.routing.training_votes import TrainingVotes

_VOTES = (LeanVotes, TrainingVotes)


def total(votes):
    """Sums the votes for each parent: `s_j = sum_i votes_ij`, `(batch, num_out, dim)`."""
    return votes.total() if isinstance(votes, _VOTES) else ops.sum(votes, axis=2)


def combine(coupling, votes):
    """Sums the votes weighted by their coupling: `s_j = sum_i c_ij * votes_ij`.

    Args:
        coupling: Tensor `(batch, num_out, num_in)`.
        votes: Tensor `(batch, num_out, num_in, dim)` or a class of them.

    Returns:
        Tensor `(batch, num_out, dim)`.
    """
    if isinstance(votes, _VOTES):
        return votes.combine(coupling)
    return ops.squeeze(ops.matmul(ops.expand_dims(coupling, 2), votes), axis=2)


def agreement(votes, parents):
    """Computes how far each vote agrees with its parent: `b_ij = votes_ij . v_j`.

    Args:
        votes: Tensor `(batch, num_out, num_in, dim)` or a class of them.
        parents: Tensor `(batch, num_out, dim)`.

    Returns:
        Tensor `(batch, num_out, num_in)`.
    """
    if isinstance(votes, _VOTES):
        return votes.agreement(parents)
    return ops.squeeze(ops.matmul(votes, ops.expand_dims(parents, 3)), axis=3)


def mean_component(votes):
    """Computes the mean over each vote's components, `(batch, num_out, num_in)`."""
    return votes.mean_component() if isinstance(votes, _VOTES) else ops.mean(votes, axis=3)


def constant(votes):
    """Returns the votes as constants, through which no gradient flows."""
    return votes.constant() if isinstance(votes, _VOTES) else ops.stop_gradient(votes)


def without_absent(votes, mask):
    """Returns votes that are zero where the boolean mask `(batch, num_in)` is false."""
    if isinstance(votes, LeanVotes):
        return votes.masked(mask)
    return ops.where(mask[:, None, :, None], votes, 0.0)


def equal_shares(votes, share):
    """Returns the coupling that is `share` everywhere, `(batch, num_out, num_in)`."""
    if isinstance(votes, _VOTES):
        return votes.equal_shares(share)
    children = ops.zeros_like(votes[:, :1, :, 0])
    return children + ops.full((votes.shape[1], 1), share, children.dtype)
