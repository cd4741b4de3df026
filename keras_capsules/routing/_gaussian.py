"""Fits a Gaussian to the votes for each parent, for the routings that need it."""

from keras import ops

from keras_capsules.routing.base import TINY
from keras_capsules.routing.votes.stored import agreements

# Votes are fitted in this unit. It keeps the squares of very long votes, and the factors in their
# gradients, inside float32.
UNIT = 2.0**44


def fit(votes, weights, epsilon):
    """Fits mean and variance of each parent's votes, in units of `UNIT` and of `UNIT` squared.

    `mean_j = sum_i w_ij V_ij / sum_i w_ij`, `squares_ij = (V_ij - mean_j)**2`,
    `variance_j = sum_i w_ij squares_ij / sum_i w_ij + epsilon`

    Args:
        votes: Tensor `(batch, num_out, num_in, dim)`, divided by `UNIT`.
        weights: Tensor `(batch, num_out, num_in)`.
        epsilon: Float. Floor of the variance, in the unit of the original votes.

    Returns:
        Mean `(batch, num_out, 1, dim)`, squares in the shape of the votes, and variance in the
        shape of the mean.
    """
    weights = ops.expand_dims(weights, 2)
    mass = ops.sum(weights, axis=3, keepdims=True) + TINY
    mean = ops.matmul(weights, votes) / mass
    squares = ops.square(votes - mean)
    return mean, squares, ops.matmul(weights, squares) / mass + epsilon / UNIT**2


def precision(variance):
    """Computes `1 / variance_j`, `(batch, num_out, dim)`.

    The root is taken first, because the derivative of the plain reciprocal leaves float32.
    """
    return ops.square(1.0 / ops.sqrt(ops.squeeze(variance, axis=2)))


def log_posterior(squares, variance, logits):
    """Computes `log(sigmoid(logits_j)) + log N(V_ij; mean_j, variance_j)`.

    The `log(2 pi)` that all parents share is left out.

    Args:
        squares: Tensor `(batch, num_out, num_in, dim)`, as `fit` returns it.
        variance: Tensor `(batch, num_out, 1, dim)`, as `fit` returns it.
        logits: Tensor `(batch, num_out)`. The parents' activations before their sigmoid.

    Returns:
        Tensor `(batch, num_out, num_in)`. Its softmax over the parents is the probability of each
        parent for each child.
    """
    presence = ops.log_sigmoid(ops.expand_dims(logits, 2))
    constant = presence - ops.sum(log_deviation(variance), axis=3)
    return constant - agreements(0.5 * precision(variance), squares)


def log_deviation(variance):
    """Returns the log of the standard deviation in the unit of the original votes."""
    return 0.5 * ops.log(variance * UNIT**2)
