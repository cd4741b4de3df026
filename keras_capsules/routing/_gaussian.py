"""Turns the Gaussians of parents into the shares of children, for the routings that fit them."""

from keras import ops

from keras_capsules.routing.base import TINY

# Votes are fitted in this unit. It keeps the squares of very long votes, and the factors in their
# gradients, inside float32. A larger unit would make second derivatives of ordinary votes leave it:
# they have the third power of a standard deviation as a divisor.
UNIT = 2.0**32


def fit(votes, weights):
    """Fits Gaussians to votes in `UNIT`, with weights `(batch, num_out, num_in)`.

    A parent without weights has the mean 0 and the variance 0.
    """
    return votes.fit(normalized(weights))


def normalized(weights):
    """Divides weights `(batch, num_out, num_in)` by their sum over the children."""
    # They are divided before the sums over votes, because the gradient of a sum, divided by a
    # weight that is almost zero, would leave float32.
    return weights / (ops.sum(weights, axis=2, keepdims=True) + TINY)


def precision(variance):
    """Computes `1 / variance_j`, of a variance in `UNIT` squared.

    The root is taken first, because the derivative of the plain reciprocal leaves float32.
    """
    return ops.square(1.0 / ops.sqrt(variance))


def log_posterior(gaussian, variance, logits):
    """Computes `log(sigmoid(logits_j)) + log N(V_ij; mean_j, variance_j)`.

    The `log(2 pi)` that all parents share is left out.

    Args:
        gaussian: `keras_capsules.routing.votes.base.Fit`, as `fit` returns it.
        variance: Tensor `(batch, num_out, dim)`, its variance with a floor above 0.
        logits: Tensor `(batch, num_out)`. The parents' activations before their sigmoid.

    Returns:
        Tensor `(batch, num_out, num_in)`. Its softmax over the parents is the probability of each
        parent for each child.
    """
    constant = ops.log_sigmoid(logits) - ops.sum(log_deviation(variance), axis=2)
    return ops.expand_dims(constant, 2) - gaussian.distances(0.5 * precision(variance))


def log_deviation(variance):
    """Returns the log of the standard deviation in the unit of the original votes."""
    return 0.5 * ops.log(variance * UNIT**2)
