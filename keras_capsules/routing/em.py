"""Implements the expectation-maximization routing of matrix capsules."""

from typing import ClassVar

import keras
from keras import ops

from keras_capsules._arguments import positive_integer
from keras_capsules.ops import at_least_float32
from keras_capsules.routing._gaussian import UNIT, fit, log_deviation, log_posterior
from keras_capsules.routing.base import Routing, RoutingResult


@keras.saving.register_keras_serializable(package="keras_capsules")
class EMRouting(Routing):
    """Fits a Gaussian to the votes for each parent, by expectation-maximization.

    From `R_ij = 1 / J`, for `t = 0 ... iterations - 1`:

    M step: `r_ij = R_ij * a_i`; `mu_j` and `variance_j` are the mean and, with `epsilon` added, the
    variance of the votes weighted by r; `cost_jh = (beta_u_j + log(sigma_jh)) * sum_i r_ij`;
    `a_j = sigmoid(lambda_t * (beta_a_j - sum_h cost_jh))` with
    `lambda_t = final_lambda * (1 - 0.95**(t + 1))`.

    E step, not after the last: `R_ij = softmax_j(log(a_j) + log(N(votes_ij; mu_j, variance_j)))`.

    Args:
        iterations: Integer, 1 or more. Defaults to `3`.
        final_lambda: Float. Limit of the inverse temperature. Defaults to `0.01`, which fits costs
            that sum over thousands of votes. With a few dozen children it leaves all activations
            near 0.4, which suits `SpreadLoss` but no fixed margin. Take 1 there, as
            `benchmarks.settle` does for 36 children.
        epsilon: Float. Floor of the variance. Defaults to `1e-4`.

    Weights:
        `beta_u`, `beta_a`: `(num_out,)`, zeros at first.

    Call arguments, output shapes and errors: see `keras_capsules.Routing`. `activations` are
    required.

    Raises:
        ValueError: If `iterations` is not a positive integer, or `activations` are missing.

    Example:

    >>> votes, activations = keras.random.normal((2, 6, 3, 4)), keras.random.uniform((2, 6))
    >>> tuple(keras_capsules.EMRouting()(votes, activations).poses.shape)
    (2, 3, 4)

    Reference:
        Hinton, Sabour, Frosst, 2018, "Matrix Capsules with EM Routing", ICLR.
    """

    explicit_activations = True
    competes_across_cells = True
    fits_votes = True
    unit = UNIT
    vote_scaling: ClassVar = {"target": "vote"}

    def __init__(
        self, iterations: int = 3, final_lambda: float = 0.01, epsilon: float = 1e-4, **kwargs
    ):
        super().__init__(**kwargs)
        self.iterations = positive_integer("iterations", iterations)
        self.final_lambda = final_lambda
        self.epsilon = epsilon

    @property
    def expected_sums(self) -> int:
        return 2 * self.iterations - 1

    def build(self, votes_shape):
        shape = (votes_shape[2],)
        self.beta_u = self.add_weight(name="beta_u", shape=shape, initializer="zeros")
        self.beta_a = self.add_weight(name="beta_a", shape=shape, initializer="zeros")
        self.built = True

    def route(self, votes, activations=None, poses=None):
        competition, votes = votes.competition, votes.in_unit(UNIT)
        coupling = competition.equal_shares(activations, votes.shape[1])
        for iteration in range(self.iterations):
            with keras.name_scope(f"routing_{iteration + 1}"):
                weights = coupling * ops.expand_dims(activations, 1)
                gaussian = fit(votes, weights)
                variance = gaussian.variance + self.epsilon / UNIT**2
                inverse_temperature = self.final_lambda * (1 - 0.95 ** (iteration + 1))
                logits = inverse_temperature * self._merit(weights, variance)
                if iteration < self.iterations - 1:
                    coupling = competition.softmax(log_posterior(gaussian, variance, logits))
        return RoutingResult(gaussian.mean * UNIT, ops.sigmoid(logits), coupling)

    def get_config(self):
        return {
            **super().get_config(),
            "iterations": self.iterations,
            "final_lambda": self.final_lambda,
            "epsilon": self.epsilon,
        }

    def _merit(self, weights, variance):
        """Computes `beta_a_j - sum_h cost_jh`, `(batch, num_out)`."""
        beta_u, beta_a = at_least_float32(self.beta_u), at_least_float32(self.beta_a)
        deviations = ops.sum(log_deviation(variance), axis=2)
        cost = (variance.shape[2] * beta_u + deviations) * ops.sum(weights, axis=2)
        return beta_a - cost
