"""Gaussians around parents, which the routings share that fit one to the votes of each."""

from keras import ops

from keras_capsules.routing.base import TINY

# Votes are fitted in this unit, so that squares of very long ones stay inside float32.
UNIT = 2.0**22


def fit(votes, weights, epsilon):
    """Fits mean and variance of each parent's votes, in units of `UNIT` and of its square.

    `mean_j = sum_i w_ij V_ij / sum_i w_ij`,
    `variance_j = sum_i w_ij (V_ij - mean_j)**2 / sum_i w_ij + epsilon`

    Args:
        votes: Tensor `(batch, num_out, num_in, dim)`, divided by `UNIT`.
        weights: Tensor `(batch, num_out, num_in)`.
        epsilon: Float. Floor of the variance, in the votes' own unit.

    Returns:
        Mean and variance, both `(batch, num_out, 1, dim)`.
    """
    weights = ops.expand_dims(weights, 2)
    mass = ops.sum(weights, axis=3, keepdims=True) + TINY
    mean = ops.matmul(weights, votes) / mass
    squares = ops.square(votes - mean)
    return mean, ops.matmul(weights, squares) / mass + epsilon / UNIT**2


def log_density(votes, mean, variance):
    """Computes `log N(V_ij; mean_j, variance_j)`, without the `log(2 pi)` that all parents share.

    Returns:
        Tensor `(batch, num_out, num_in)`.
    """
    terms = ops.square(votes - mean) / variance + ops.log(variance * UNIT**2)
    return -0.5 * ops.sum(terms, axis=3)


def log_posterior(votes, mean, variance, logits):
    """Computes `log(sigmoid(logits_j)) + log N(V_ij; mean_j, variance_j)`.

    Args:
        logits: Tensor `(batch, num_out)`. The parents' activations before their sigmoid.

    Returns:
        Tensor `(batch, num_out, num_in)`, whose softmax over the parents says how likely each is
        for each child.
    """
    presence = ops.log_sigmoid(ops.expand_dims(logits, 2))
    return presence + log_density(votes, mean, variance)


def log_deviation(variance):
    """Returns the log of the standard deviation in the votes' own unit."""
    return 0.5 * ops.log(variance * UNIT**2)
