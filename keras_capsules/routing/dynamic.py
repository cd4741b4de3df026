"""Dynamic routing, also called routing by agreement."""

import keras
from keras import ops

from keras_capsules.ops import capsule_length, squash
from keras_capsules.routing.base import Routing, RoutingResult, agreement, combine


@keras.saving.register_keras_serializable(package="keras_capsules")
class DynamicRouting(Routing):
    """Sends each child's vote to the parents that it agrees with.

    From `b_ij = 0`, `iterations` times:

    `c_ij = softmax_j(b_ij)`, `v_j = squash(sum_i c_ij * votes_ij)`,
    `b_ij = b_ij + votes_ij . v_j` (not after the last).

    The softmax runs over the parents: a child divides its vote among them, `sum_j c_ij = 1`.

    Args:
        iterations: Integer, 1 or more. Defaults to `3`. More is not better: compare with 1, which
            is uniform routing, and 2.

    Call arguments, output shapes and errors: see `keras_capsules.Routing`.

    Raises:
        ValueError: If `iterations` is not a positive integer.

    Example:

    >>> votes = keras.random.normal((2, 6, 3, 4))  # 6 children, 3 parents, poses of 4
    >>> result = keras_capsules.DynamicRouting(iterations=2)(votes)
    >>> result.poses.shape, result.activations.shape, result.coupling.shape
    ((2, 3, 4), (2, 3), (2, 6, 3))

    Reference:
        Sabour, Frosst, Hinton, 2017, arXiv 1710.09829, procedure 1. Their released code adds a
        bias to the weighted sum; here a bias belongs to the layer (`use_bias`).
    """

    def __init__(self, iterations: int = 3, **kwargs):
        if not isinstance(iterations, int) or isinstance(iterations, bool) or iterations < 1:
            raise ValueError(
                "`iterations` must be a positive integer: with none the votes reach no parent. "
                f"Received: iterations={iterations!r}"
            )
        super().__init__(**kwargs)
        self.iterations = iterations

    def route(self, votes, activations=None, poses=None):
        share = 1.0 / votes.shape[1]
        with keras.name_scope("routing_1"):
            coupling = ops.full_like(votes[..., 0], share)
            parents = squash(ops.sum(votes, axis=2) * share)
        logits = 0.0
        for iteration in range(2, self.iterations + 1):
            with keras.name_scope(f"routing_{iteration}"):
                logits = logits + agreement(votes, parents)
                coupling = ops.softmax(logits, axis=1)
                parents = squash(combine(coupling, votes))
        return RoutingResult(parents, capsule_length(parents), coupling)

    def get_config(self):
        return {**super().get_config(), "iterations": self.iterations}
