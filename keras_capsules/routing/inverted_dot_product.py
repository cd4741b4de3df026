"""Implements inverted dot-product attention routing."""

import math
from typing import ClassVar

import keras
from keras import ops

from keras_capsules._arguments import positive_integer
from keras_capsules.ops import at_least_float32, capsule_length
from keras_capsules.routing.base import Routing, RoutingResult

# Keeps the squares of very long poses inside float32; the normalization undoes it.
_SCALE = 2.0**-30


@keras.saving.register_keras_serializable(package="keras_capsules")
class InvertedDotProductRouting(Routing):
    """Shares votes by their agreement with parents whose poses are layer-normalized.

    From `p_j = LN(sum_i votes_ij / J)`, `iterations` times:

    `c_ij = softmax_j(votes_ij . p_j / sqrt(D))`, `p_j = LN(sum_i c_ij * votes_ij)`.

    `LN` has a learned scale and shift over the pose. There is no squash, and the length of a pose
    is not a probability. A dense layer, which the class capsules share, and the cross-entropy
    follow.

    Args:
        iterations: Integer, 1 or more. Defaults to `2`.
        epsilon: Float. Added to the variance in `LN`. Defaults to `1e-5`.

    Weights:
        `gamma`, `beta`: `(dim,)`, ones and zeros at first.

    Call arguments, output shapes and errors: see `keras_capsules.Routing`.

    Raises:
        ValueError: If `iterations` is not a positive integer.

    Example:

    >>> votes = keras.random.normal((2, 6, 3, 4))  # 6 children, 3 parents, poses of 4
    >>> tuple(keras_capsules.InvertedDotProductRouting()(votes).poses.shape)
    (2, 3, 4)

    Reference:
        Tsai, Srivastava, Goh, Salakhutdinov, 2020, arXiv 2002.04764.
    """

    sums_votes = True
    vote_scaling: ClassVar = {"target": "vote"}

    def __init__(self, iterations: int = 2, epsilon: float = 1e-5, **kwargs):
        super().__init__(**kwargs)
        self.iterations = positive_integer("iterations", iterations)
        self.epsilon = epsilon

    def build(self, votes_shape):
        shape = (votes_shape[3],)
        self.gamma = self.add_weight(name="gamma", shape=shape, initializer="ones")
        self.beta = self.add_weight(name="beta", shape=shape, initializer="zeros")
        self.built = True

    @property
    def expected_sums(self) -> int:
        return 2 * self.iterations + 1

    def route(self, votes, activations=None, poses=None):
        parents = self._normalize(votes.total() * (1.0 / votes.shape[1]))
        for iteration in range(1, self.iterations + 1):
            with keras.name_scope(f"routing_{iteration}"):
                logits = votes.agreement(parents) * (1.0 / math.sqrt(votes.shape[3]))
                coupling = ops.softmax(logits, axis=1)
                parents = self._normalize(votes.combine(coupling))
        return RoutingResult(parents, capsule_length(parents), coupling)

    def get_config(self):
        return {
            **super().get_config(),
            "iterations": self.iterations,
            "epsilon": self.epsilon,
        }

    def _normalize(self, poses):
        scaled = poses * _SCALE
        centered = scaled - ops.mean(scaled, axis=-1, keepdims=True)
        variance = ops.mean(centered * centered, axis=-1, keepdims=True)
        normalized = centered / ops.sqrt(variance + self.epsilon * _SCALE**2)
        return normalized * at_least_float32(self.gamma) + at_least_float32(self.beta)
