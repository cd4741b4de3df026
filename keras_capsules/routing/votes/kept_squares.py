"""Computes sums over stored votes from the squares of their distances from the mean.

Each function takes `sources`: the votes `(batch, num_out, num_in, dim)`, the mean
`(batch, num_out, dim)`, and the squares `(votes_ij - mean_j)**2`, which are computed once for all
sums and their gradients. Mean and squares are constants: no gradient flows through them.
"""

from typing import Any

from keras import ops

from keras_capsules.routing.votes.shared_gradient import upstream_of
from keras_capsules.routing.votes.sums import agreements, join, squares, sums


def sources_of(weights: Any, votes: Any) -> tuple:
    """Returns the sources, with the mean `sum_i w_ij votes_ij`."""
    votes_without = ops.stop_gradient(votes)
    mean = sums(ops.stop_gradient(weights), votes_without)
    return votes, mean, squares(mean, votes_without)


def moments(weights: Any, *sources: Any) -> Any:
    """Computes the same as `sums.moments`."""
    votes, mean, kept = sources
    # JAX takes second derivatives through this, so the squares need their derivatives here too.
    return join(sums(weights, votes), sums(weights, _recalled(kept, votes, mean)))


def slopes(values: Any, *sources: Any) -> Any:
    """Computes the same as `sums.slopes`, of which the center must be the mean."""
    votes, _, kept = sources
    slope, mean, inverse = ops.split(values, 3, axis=2)
    return agreements(slope, votes) + agreements(inverse, _recalled(kept, votes, mean))


def distances_from_mean(values: Any, *sources: Any) -> Any:
    """Computes the same as `sums.distances`, of which the center must be the mean."""
    votes, _, kept = sources
    center, inverse = ops.split(values, 2, axis=2)
    return agreements(inverse, _recalled(kept, votes, center))


def distances(values: Any, *sources: Any) -> Any:
    """Computes the same as `sums.distances`.

    `(votes - center)**2 = (votes - mean)**2 + (mean - center) (2 votes - mean - center)`
    """
    votes, mean, kept = sources
    center, inverse = ops.split(values, 2, axis=2)
    slope = inverse * (mean - center)
    constant = ops.sum(slope * (mean + center), axis=2, keepdims=True)
    about_mean = _recalled(kept, votes, mean)
    return agreements(inverse, about_mean) + (agreements(2.0 * slope, votes) - constant)


def moments_about(values: Any, *sources: Any) -> Any:
    """Computes the same as `sums.moments_about`."""
    votes, mean, kept = sources
    dim = votes.shape[3]
    weights, center = values[..., :-dim], values[..., -dim:]
    total, mass = sums(weights, votes), ops.sum(weights, axis=2, keepdims=True)
    scatter = sums(weights, _recalled(kept, votes, mean))
    away = mean - center
    return join(total, scatter + away * (2.0 * (total - mass * mean) + mass * away))


@ops.custom_gradient
def _recalled(kept, votes, mean):
    """Returns `squares(mean, votes)`, which are kept, with its derivatives by votes and mean."""

    def gradient(*args, upstream=None):
        upstream = upstream_of(args, upstream)
        slope = 2.0 * upstream * (votes - ops.expand_dims(mean, 2))
        return None, slope, -ops.sum(slope, axis=2)

    return kept, gradient
