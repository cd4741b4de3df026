"""Turns the Gaussians of parents into the shares of children, for the routings that fit them."""

from keras import ops

from keras_capsules.routing.votes.sums import TINY

# Votes are fitted in this unit. It keeps the squares of very long votes, and the factors in their
# gradients, inside float32.
UNIT = 2.0**44


def variance(scatter, weights, epsilon):
    """Computes `scatter_j / sum_i w_ij + epsilon`, `(batch, num_out, dim)`, in `UNIT` squared.

    Args:
        scatter: Tensor `(batch, num_out, dim)`, as `Votes.fit` returns it for votes in `UNIT`.
        weights: Tensor `(batch, num_out, num_in)`.
        epsilon: Float. Floor of the variance, in the unit of the original votes.
    """
    mass = ops.sum(weights, axis=2, keepdims=True) + TINY
    return scatter / mass + epsilon / UNIT**2


def precision(variance):
    """Computes `1 / variance_j`.

    The root is taken first, because the derivative of the plain reciprocal leaves float32.
    """
    return ops.square(1.0 / ops.sqrt(variance))


def log_posterior(fit, variance, logits):
    """Computes `log(sigmoid(logits_j)) + log N(V_ij; mean_j, variance_j)`.

    The `log(2 pi)` that all parents share is left out.

    Args:
        fit: `keras_capsules.routing.votes.base.Fit` of votes in `UNIT`.
        variance: Tensor `(batch, num_out, dim)`.
        logits: Tensor `(batch, num_out)`. The parents' activations before their sigmoid.

    Returns:
        Tensor `(batch, num_out, num_in)`. Its softmax over the parents is the probability of each
        parent for each child.
    """
    constant = ops.log_sigmoid(logits) - ops.sum(log_deviation(variance), axis=2)
    return ops.expand_dims(constant, 2) - fit.distances(0.5 * precision(variance))


def log_deviation(variance):
    """Returns the log of the standard deviation in the unit of the original votes."""
    return 0.5 * ops.log(variance * UNIT**2)
