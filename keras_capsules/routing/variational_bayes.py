"""Implements variational-Bayes routing."""

import math
from typing import ClassVar

import keras
import numpy as np
from keras import layers, ops

from keras_capsules._arguments import positive_integer
from keras_capsules.ops import at_least_float32
from keras_capsules.routing._gaussian import UNIT, fit, precision
from keras_capsules.routing.base import Routing, RoutingResult


@keras.saving.register_keras_serializable(package="keras_capsules")
class VariationalBayesRouting(Routing):
    """Fits a mixture of Gaussians to the votes, with a prior that prevents their collapse.

    From `R_ij = 1 / J`, `iterations` times:

    M step: `r_ij = R_ij * a_i`, `n_j = sum_i r_ij`, `alpha = alpha0 + n`, `kappa = kappa0 + n`,
    `nu = nu0 + n`, `mu_j = sum_i r_ij votes_ij / n_j`, `m_j = n_j mu_j / kappa_j`,
    `psi_j = psi0 + sum_i r_ij (votes_ij - mu_j)**2 + n_j / kappa_j * mu_j**2` for each dimension;
    `log_pi_j = digamma(alpha_j) - digamma(sum_j alpha_j)`,
    `log_det_j = sum_{d<D} digamma((nu_j - d) / 2) + D log(2) - sum_d log(psi_jd)`.

    E step, not after the last: `R_ij = softmax_j(log_pi_j + (log_det_j - D log(2 pi)
    - D / kappa_j - nu_j sum_d (votes_ij - m_j)**2 / psi_jd) / 2)`.

    Finally `v_j = norm(m_j)` and `a_j = sigmoid(norm(beta_a - (exp(log_pi_j) * H_j + beta_u)))`
    with the entropy `H_j = (D log(2 pi e) - log_det_j) / 2`.

    Args:
        iterations: Integer, 1 or more. Defaults to `3`.
        alpha0: Float. Prior weight of a parent. Defaults to `1.0`.
        kappa0: Float. Prior certainty of its mean. Defaults to `1.0`.
        psi0: Float. Prior scale of its variance. Defaults to `1.0`.
        nu0: Float or `None`. Prior degrees of freedom, above `D - 1`. Defaults to `None`, `D + 1`.
        normalize: Boolean. Whether `norm` is batch normalization without scale and centre.
            Otherwise `norm` is the identity. Defaults to `True`.

    Weights:
        `beta_u`, `beta_a`: `(num_out,)`, zeros at first; moving means and variances.

    Call arguments, output shapes and errors: see `keras_capsules.Routing`. `activations` are
    required.

    Raises:
        ValueError: If `iterations` is not a positive integer, or `activations` are missing.

    Example:

    >>> votes, activations = keras.random.normal((2, 6, 3, 4)), keras.random.uniform((2, 6))
    >>> tuple(keras_capsules.VariationalBayesRouting()(votes, activations).poses.shape)
    (2, 3, 4)

    Reference:
        Ribeiro, Leontidis, Kollias, 2020, arXiv 1905.11455. Batch normalization as in their
        released code: for each component of each parent, momentum 0.9, epsilon 1e-5.
    """

    explicit_activations = True
    competes_across_cells = True
    fits_votes = True
    unit = UNIT
    vote_scaling: ClassVar = {"length": 0.1}  # Squared, small beside the prior `psi0`.

    def __init__(
        self,
        iterations: int = 3,
        alpha0: float = 1.0,
        kappa0: float = 1.0,
        psi0: float = 1.0,
        nu0: float | None = None,
        normalize: bool = True,
        **kwargs,
    ):
        super().__init__(**kwargs)
        self.iterations = positive_integer("iterations", iterations)
        self.alpha0 = alpha0
        self.kappa0 = kappa0
        self.psi0 = psi0
        self.nu0 = nu0
        self.normalize = normalize

    @property
    def expected_sums(self) -> int:
        return 2 * self.iterations - 1

    def build(self, votes_shape):
        _, _, parents, dim = votes_shape
        self.beta_u = self.add_weight(name="beta_u", shape=(parents,), initializer="zeros")
        self.beta_a = self.add_weight(name="beta_a", shape=(parents,), initializer="zeros")
        if self.normalize:
            self.pose_normalization = self._normalization("pose_normalization", parents * dim)
            self.activation_normalization = self._normalization("activation_normalization", parents)
        self.built = True

    def route(self, votes, activations=None, poses=None):
        parents, dim = votes.shape[1], votes.shape[3]
        nu0 = dim + 1.0 if self.nu0 is None else self.nu0
        competition, votes = votes.competition, votes.in_unit(UNIT)
        coupling = competition.equal_shares(activations, votes.shape[1])
        for iteration in range(self.iterations):
            with keras.name_scope(f"routing_{iteration + 1}"):
                weights = coupling * ops.expand_dims(activations, 1)
                mass = ops.sum(weights, axis=2, keepdims=True)
                alpha, kappa = self.alpha0 + mass, self.kappa0 + mass
                half_nu = 0.5 * (nu0 + mass)
                share = mass / kappa
                gaussian = fit(votes, weights)
                m = share * gaussian.mean
                psi = self.psi0 / UNIT**2 + mass * gaussian.variance + m * gaussian.mean
                freedom = half_nu - ops.cast(np.arange(dim) / 2, mass.dtype)
                total = ops.sum(alpha, axis=1, keepdims=True) + ops.zeros_like(alpha)
                digammas = digamma(ops.concatenate([alpha, total, freedom], axis=2))
                log_pi = digammas[:, :, :1] - digammas[:, :, 1:2]
                log_det = ops.sum(digammas[:, :, 2:], axis=2, keepdims=True) + dim * math.log(2)
                log_det = log_det - ops.sum(ops.log(psi * UNIT**2), axis=2, keepdims=True)
                if iteration < self.iterations - 1:
                    away = gaussian.distances(half_nu * precision(psi), m)
                    constant = log_pi + 0.5 * (log_det - dim / kappa)
                    coupling = competition.softmax(constant - away)
        entropy = 0.5 * (dim * math.log(2 * math.pi * math.e) - log_det)
        beta_u, beta_a = at_least_float32(self.beta_u), at_least_float32(self.beta_a)
        logits = beta_a - (ops.squeeze(ops.exp(log_pi) * entropy, axis=2) + beta_u)
        poses = ops.reshape(m, (-1, parents * dim)) * UNIT
        if self.normalize:
            poses = self.pose_normalization(poses)
            logits = self.activation_normalization(logits)
        poses = ops.reshape(poses, (-1, parents, dim))
        # This sigmoid is also exact near 0. The sigmoid of onnxruntime is cut off at -18, which
        # matters for long votes of children that are almost absent.
        activations = ops.exp(ops.log_sigmoid(logits))
        return RoutingResult(poses, activations, coupling)

    def get_config(self):
        return {
            **super().get_config(),
            "iterations": self.iterations,
            "alpha0": self.alpha0,
            "kappa0": self.kappa0,
            "psi0": self.psi0,
            "nu0": self.nu0,
            "normalize": self.normalize,
        }

    def _normalization(self, name, features):
        normalization = layers.BatchNormalization(
            momentum=0.9,
            epsilon=1e-5,
            center=False,
            scale=False,
            dtype=self.variable_dtype,
            name=name,
        )
        normalization.build((None, features))
        return normalization


def digamma(x):
    """Computes the digamma function with an accuracy of 1e-6 for arguments of at least 0.5.

    `digamma(x) = digamma(x + 6) - sum_{k<6} 1 / (x + k)`, with the asymptotic series at `x + 6`.
    """
    large = x + 6.0
    inverse = 1.0 / (large * large)
    series = inverse * (1 / 12 - inverse * (1 / 120 - inverse / 252))
    steps = ops.expand_dims(x, -1) + ops.cast(np.arange(6), x.dtype)
    return ops.log(large) - 0.5 / large - series - ops.sum(1.0 / steps, axis=-1)
