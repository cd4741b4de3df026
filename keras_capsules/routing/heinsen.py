"""Implements Heinsen's routing, in which parents gain from used and pay for ignored data."""

from typing import ClassVar

import keras
from keras import ops

from keras_capsules._arguments import positive_integer
from keras_capsules.ops import at_least_float32
from keras_capsules.routing._competition import WITHIN_THE_CELL
from keras_capsules.routing._gaussian import UNIT, log_posterior, normalized
from keras_capsules.routing.base import Routing, RoutingResult


@keras.saving.register_keras_serializable(package="keras_capsules")
class HeinsenRouting(Routing):
    """Fits Gaussians to the votes used, with a gain for used data and a cost for ignored data.

    From `R_ij = 1 / J`, `iterations` times, with `f_i = a_i`:

    `used_ij = f_i * R_ij`, `ignored_ij = f_i - used_ij`,
    `z_j = sum_i beta_use_ij * used_ij - beta_ign_ij * ignored_ij`; `mu_j` and `variance_j` are the
    mean and, with `epsilon` added, the variance of the votes weighted by `used`. Between iterations
    `R_ij = softmax_j(log(sigmoid(z_j)) + log(N(votes_ij; mu_j, variance_j)))`. Finally
    `a_j = sigmoid(z_j)`.

    Args:
        iterations: Integer, 1 or more. Defaults to `3`.
        epsilon: Float. Floor of the variance. Defaults to `1e-5`.

    Weights:
        `beta_use`, `beta_ign`: `(num_in, num_out)`, zeros at first.

    Call arguments, output shapes and errors: see `keras_capsules.Routing`. `activations` are
    required, and the number of children must be known.

    Raises:
        ValueError: If `iterations` is not a positive integer, or `activations` are missing.

    Example:

    >>> votes, activations = keras.random.normal((2, 6, 3, 4)), keras.random.uniform((2, 6))
    >>> tuple(keras_capsules.HeinsenRouting()(votes, activations).poses.shape)
    (2, 3, 4)

    Reference:
        Heinsen, 2019, arXiv 1911.00792.
    """

    explicit_activations = True
    fits_votes = True
    unit = UNIT
    vote_scaling: ClassVar = {"target": "vote"}

    def __init__(self, iterations: int = 3, epsilon: float = 1e-5, **kwargs):
        super().__init__(**kwargs)
        self.iterations = positive_integer("iterations", iterations)
        self.epsilon = epsilon

    @property
    def expected_sums(self) -> int:
        return 2 * self.iterations - 1

    def build(self, votes_shape):
        shape = (self._known_children(votes_shape), votes_shape[2])
        self.beta_use = self.add_weight(name="beta_use", shape=shape, initializer="zeros")
        self.beta_ign = self.add_weight(name="beta_ign", shape=shape, initializer="zeros")
        self.built = True

    def route(self, votes, activations=None, poses=None):
        votes = votes.in_unit(UNIT)
        present = ops.expand_dims(activations, 1)
        beta_use, beta_ign = (
            ops.transpose(at_least_float32(beta)) for beta in (self.beta_use, self.beta_ign)
        )
        coupling = WITHIN_THE_CELL.equal_shares(activations, votes.shape[1])
        for iteration in range(self.iterations):
            with keras.name_scope(f"routing_{iteration + 1}"):
                used = present * coupling
                shares = normalized(used)
                merit = ops.sum(beta_use * used - beta_ign * (present - used), axis=2)
                if iteration < self.iterations - 1:
                    gaussian = votes.fit(shares)
                    variance = gaussian.variance + self.epsilon / UNIT**2
                    posterior = log_posterior(gaussian, variance, merit)
                    coupling = ops.softmax(posterior, axis=1)
        return RoutingResult(votes.mean(shares) * UNIT, ops.sigmoid(merit), coupling)

    def get_config(self):
        return {
            **super().get_config(),
            "iterations": self.iterations,
            "epsilon": self.epsilon,
        }
