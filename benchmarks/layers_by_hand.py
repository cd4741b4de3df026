"""Implements the capsule layer as it is commonly written in Keras, for comparison.

All layers compute the same as `CapsuleLayer(10, 16)`, from a kernel `(num_in, 10, in_dim, 16)`: two
with dynamic routing, and one with each routing that fits Gaussians.
"""

import functools
import math

import keras
from keras import ops

from keras_capsules import VoteScaling, squash
from keras_capsules.routing.variational_bayes import digamma


class EinsumCapsules(keras.layers.Layer):
    """Uses an einsum for every product, as in a textbook."""

    def build(self, input_shape):
        shape = (input_shape[1], 10, input_shape[2], 16)
        self.kernel = self.add_weight(name="kernel", shape=shape, initializer=VoteScaling())

    def call(self, poses):
        votes = ops.einsum("bid,ijde->bije", poses, self.kernel)
        logits = ops.zeros_like(votes[..., 0])
        for iteration in range(3):
            coupling = ops.softmax(logits, axis=2)
            parents = squash(ops.einsum("bij,bije->bje", coupling, votes))
            if iteration < 2:
                logits = logits + ops.einsum("bije,bje->bij", votes, parents)
        return parents


class BroadcastCapsules(EinsumCapsules):
    """Uses a multiplication of expanded tensors and a sum for every product."""

    def call(self, poses):
        votes = ops.sum(poses[:, :, None, :, None] * self.kernel, axis=3)
        logits = ops.zeros_like(votes[..., 0])
        for iteration in range(3):
            coupling = ops.softmax(logits, axis=2)
            parents = squash(ops.sum(coupling[..., None] * votes, axis=1))
            if iteration < 2:
                logits = logits + ops.sum(votes * parents[:, None], axis=3)
        return parents


class GaussianCapsules(EinsumCapsules):
    """Fits Gaussians to stored votes, by equations as in a textbook.

    Args:
        floor: Float. What is added to a variance.
    """

    def __init__(self, floor: float, **kwargs):
        super().__init__(**kwargs)
        self.floor = floor

    def build(self, input_shape):
        super().build(input_shape[0])
        self.betas = [
            self.add_weight(name=name, shape=shape, initializer="zeros")
            for name, shape in zip("ab", self.beta_shapes(input_shape[0][1]), strict=True)
        ]

    def beta_shapes(self, children):
        return [(10,), (10,)]

    def call(self, inputs):
        poses, present = inputs
        votes = ops.einsum("bid,ijde->bije", poses, self.kernel)
        present = present[:, :, None]
        coupling = ops.full((1, 1, 10), 0.1)
        for iteration in range(3):
            used = present * coupling
            mass = ops.sum(used, axis=1)
            mean = ops.einsum("bij,bije->bje", used, votes) / mass[:, :, None]
            squares = ops.square(votes - mean[:, None])
            variance = ops.einsum("bij,bije->bje", used, squares) / mass[:, :, None]
            parents, merit, density = self.fitted(iteration, votes, present, used, mean, variance)
            if iteration < 2:
                coupling = ops.softmax(density, axis=2)
        return parents, ops.sigmoid(merit)

    def normal(self, votes, mean, variance, merit):
        """Returns the logarithm of a Gaussian's density, and of the activation before it."""
        distances = ops.sum(ops.square(votes - mean[:, None]) / variance[:, None], axis=3)
        volume = ops.sum(ops.log(2 * math.pi * variance), axis=2)
        return ops.log_sigmoid(merit)[:, None] - 0.5 * (volume[:, None] + distances)


class EMCapsules(GaussianCapsules):
    """Expectation-maximization, by Hinton, Sabour and Frosst (2018)."""

    def fitted(self, iteration, votes, present, used, mean, variance):
        variance = variance + self.floor
        beta_u, beta_a = self.betas
        cost = ops.sum(beta_u[:, None] + 0.5 * ops.log(variance), axis=2) * ops.sum(used, axis=1)
        merit = 0.01 * (1 - 0.95 ** (iteration + 1)) * (beta_a - cost)
        return mean, merit, self.normal(votes, mean, variance, merit)


class HeinsenCapsules(GaussianCapsules):
    """The routing of Heinsen (2019), arXiv:1911.00792."""

    def beta_shapes(self, children):
        return [(children, 10), (children, 10)]

    def fitted(self, iteration, votes, present, used, mean, variance):
        use, ignore = self.betas
        merit = ops.sum(use * used - ignore * (present - used), axis=1)
        variance = variance + self.floor
        return mean, merit, self.normal(votes, mean, variance, merit)


class VariationalBayesCapsules(GaussianCapsules):
    """Variational Bayes, by Ribeiro, Leontidis and Kollias (2020), without a normalization."""

    def fitted(self, iteration, votes, present, used, mean, variance):
        dim, mass = votes.shape[3], ops.sum(used, axis=1)
        kappa, nu = (1 + mass)[:, :, None], dim + 1 + mass
        shifted = mass[:, :, None] * mean / kappa
        psi = self.floor + mass[:, :, None] * (variance + mean * mean / kappa)
        log_pi = digamma(1 + mass) - digamma(ops.sum(1 + mass, axis=1, keepdims=True))
        freedom = ops.sum(digamma(0.5 * (nu[:, :, None] - ops.arange(float(dim)))), axis=2)
        log_det = freedom + dim * math.log(2) - ops.sum(ops.log(psi), axis=2)
        squares = ops.square(votes - shifted[:, None]) / psi[:, None]
        distances = nu[:, None] * ops.sum(squares, axis=3)
        volume = log_det - dim * math.log(2 * math.pi) - dim / kappa[:, :, 0]
        beta_u, beta_a = self.betas
        entropy = 0.5 * (dim * math.log(2 * math.pi * math.e) - log_det)
        merit = beta_a - ops.exp(log_pi) * entropy - beta_u
        return shifted, merit, (log_pi + 0.5 * volume)[:, None] - 0.5 * distances


GAUSSIAN = {
    "em": functools.partial(EMCapsules, 1e-4),
    "heinsen": functools.partial(HeinsenCapsules, 1e-5),
    "variational_bayes": functools.partial(VariationalBayesCapsules, 1.0),
}
