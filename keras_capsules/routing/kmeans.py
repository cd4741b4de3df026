"""Implements k-means routing, which clusters votes around their parents."""

from typing import ClassVar

import keras
from keras import ops

from keras_capsules._arguments import positive_integer
from keras_capsules.ops import capsule_length, safe_norm, squash
from keras_capsules.routing.base import Routing, RoutingResult


@keras.saving.register_keras_serializable(package="keras_capsules")
class KMeansRouting(Routing):
    """Treats parents as the centres of clusters, and shares votes by direction.

    From `o_j = sum_i votes_ij / J`, `iterations` times:

    `b_ij = votes_ij . o_j / norm(o_j)`, `c_ij = softmax_j(b_ij)`, `o_j = sum_i c_ij * votes_ij`.

    Each iteration replaces the logits, while dynamic routing sums them. With `squash_output` the
    parents are `v_j = squash(o_j)`.

    Args:
        iterations: Integer, 1 or more. Defaults to `3`.
        squash_output: Boolean. Whether to squash the parents. Defaults to `True`.

    Call arguments, output shapes and errors: see `keras_capsules.Routing`.

    Raises:
        ValueError: If `iterations` is not a positive integer.

    Example:

    >>> votes = keras.random.normal((2, 6, 3, 4))  # 6 children, 3 parents, poses of 4
    >>> tuple(keras_capsules.KMeansRouting()(votes).poses.shape)
    (2, 3, 4)

    Reference:
        Ren, Lu, 2018, arXiv 1810.09177.
    """

    sums_votes = True
    vote_scaling: ClassVar = {"length": 2.0, "longest": 6.0}

    def __init__(self, iterations: int = 3, squash_output: bool = True, **kwargs):
        super().__init__(**kwargs)
        self.iterations = positive_integer("iterations", iterations)
        self.squash_output = squash_output

    @property
    def expected_sums(self) -> int:
        return 2 * self.iterations + 1

    def route(self, votes, activations=None, poses=None):
        parents = votes.total() * (1.0 / votes.shape[1])
        for iteration in range(1, self.iterations + 1):
            with keras.name_scope(f"routing_{iteration}"):
                directions = parents / safe_norm(parents, keepdims=True)
                coupling = ops.softmax(votes.agreement(directions), axis=1)
                parents = votes.combine(coupling)
        if self.squash_output:
            parents = squash(parents)
        return RoutingResult(parents, capsule_length(parents), coupling)

    def get_config(self):
        return {
            **super().get_config(),
            "iterations": self.iterations,
            "squash_output": self.squash_output,
        }
