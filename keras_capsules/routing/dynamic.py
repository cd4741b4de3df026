"""Implements dynamic routing, also called routing by agreement."""

from typing import ClassVar

import keras
from keras import ops

from keras_capsules._arguments import positive_integer
from keras_capsules.ops import capsule_length, squash
from keras_capsules.routing.base import Routing, RoutingResult


@keras.saving.register_keras_serializable(package="keras_capsules")
class DynamicRouting(Routing):
    """Sends each child's vote to the parents that it agrees with.

    From `b_ij = 0`, `iterations` times:

    `c_ij = softmax_j(b_ij)`, `v_j = squash(sum_i c_ij * votes_ij)`,
    `b_ij = b_ij + votes_ij . v_j` (not after the last).

    The softmax runs over the parents: a child divides its vote among them, `sum_j c_ij = 1`.

    Args:
        iterations: Integer, 1 or more. Defaults to `3`. More iterations are not always better:
            compare with 1, which is uniform routing, and with 2.
        leaky: Boolean. Whether a child may withhold part of its vote. The softmax then has one more
            logit, which is zero and is dropped afterwards, and `sum_j c_ij < 1`. Defaults to
            `False`.
        stop_gradient: Boolean. Whether gradients flow only through the votes of the last iteration.
            This makes training cheaper, but the published code does not do it. Defaults to `False`.

    Call arguments, output shapes and errors: see `keras_capsules.Routing`.

    Raises:
        ValueError: If `iterations` is not a positive integer.

    Example:

    >>> votes = keras.random.normal((2, 6, 3, 4))  # 6 children, 3 parents, poses of 4
    >>> result = keras_capsules.DynamicRouting(iterations=2)(votes)
    >>> result.poses.shape, result.activations.shape, result.coupling.shape
    ((2, 3, 4), (2, 3), (2, 6, 3))

    Reference:
        Sabour, Frosst, Hinton, 2017, arXiv 1710.09829, procedure 1. Their released code adds a bias
        to the weighted sum. Here the bias is part of the layer (`use_bias`).
    """

    sums_votes = True
    vote_scaling: ClassVar = {"length": 2.0, "longest": 16.0}

    def __init__(
        self, iterations: int = 3, leaky: bool = False, stop_gradient: bool = False, **kwargs
    ):
        super().__init__(**kwargs)
        self.iterations = positive_integer("iterations", iterations)
        self.leaky = leaky
        self.stop_gradient = stop_gradient

    @property
    def expected_sums(self) -> int:
        return 1 if self.stop_gradient else 2 * self.iterations - 1

    def route(self, votes, activations=None, poses=None):
        inner_votes = votes.constant() if self.stop_gradient else votes
        share = 1.0 / (votes.shape[1] + int(self.leaky))
        coupling = votes.equal_shares(share)
        seen = 0.0  # The logits are the agreement with the sum of all parents so far.
        for iteration in range(1, self.iterations + 1):
            last = iteration == self.iterations
            with keras.name_scope(f"routing_{iteration}"):
                summed = votes if last else inner_votes
                if iteration == 1:
                    parents = squash(summed.total() * share)
                else:
                    seen = seen + parents
                    coupling = self._softmax_over_parents(inner_votes.agreement(seen))
                    parents = squash(summed.combine(coupling))
        return RoutingResult(parents, capsule_length(parents), coupling)

    def get_config(self):
        return {
            **super().get_config(),
            "iterations": self.iterations,
            "leaky": self.leaky,
            "stop_gradient": self.stop_gradient,
        }

    def _softmax_over_parents(self, logits):
        if not self.leaky:
            return ops.softmax(logits, axis=1)
        orphan = ops.zeros_like(logits[:, :1])
        return ops.softmax(ops.concatenate([logits, orphan], axis=1), axis=1)[:, :-1]
