"""Implements squeeze-and-excitation as a routing, with gates instead of iterations."""

from typing import ClassVar

import keras
from keras import layers, ops

from keras_capsules.ops import capsule_length, squash
from keras_capsules.routing.base import Routing, RoutingResult


@keras.saving.register_keras_serializable(package="keras_capsules")
class SqueezeExcitationRouting(Routing):
    """Gates each child's vote for a parent by the votes of all children for it, in one pass.

    `z_ij = mean_d(votes_ijd)`, `g_j = sigmoid(W2 @ relu(W1 @ z_j + b1) + b2)` over the children,
    `c_ij = g_ij / J`, `v_j = squash(sum_i c_ij * votes_ij)` for J parents, which share the weights.

    Args:
        reduction_ratio: Integer or float. The hidden layer's width is the number of children
            divided by `reduction_ratio`. Defaults to `4`.

    Call arguments, output shapes and errors: see `keras_capsules.Routing`. The number of children
    must be known. The shares of a child add up to less than one, because its gates may close for
    all parents.

    Raises:
        ValueError: If `reduction_ratio` is not positive, or the number of children is unknown.

    Example:

    >>> votes = keras.random.normal((2, 6, 3, 4))  # 6 children, 3 parents, poses of 4
    >>> tuple(keras_capsules.SqueezeExcitationRouting()(votes).poses.shape)
    (2, 3, 4)

    Reference:
        This library; after Hu, Shen, Albanie, Sun, Wu, 2018, arXiv 1709.01507.
    """

    sums_votes = True
    expected_sums = 2
    vote_scaling: ClassVar = {"length": 4.0}  # The gates start at one half.

    def __init__(self, reduction_ratio: float = 4, **kwargs):
        if reduction_ratio <= 0:
            raise ValueError(
                f"`reduction_ratio` must be positive. Received: reduction_ratio={reduction_ratio!r}"
            )
        super().__init__(**kwargs)
        self.reduction_ratio = reduction_ratio

    def build(self, votes_shape):
        children = self._known_children(votes_shape)
        width = max(1, int(children / self.reduction_ratio))
        dtype = self.variable_dtype
        self.reduce = layers.Dense(width, activation="relu", dtype=dtype, name="reduce")
        self.excite = layers.Dense(children, activation="sigmoid", dtype=dtype, name="excite")
        self.reduce.build((None, None, children))
        self.excite.build((None, None, width))
        self.built = True

    def route(self, votes, activations=None, poses=None):
        components = votes.mean_component()
        gates = ops.cast(self.excite(self.reduce(components)), components.dtype)
        coupling = gates * (1.0 / votes.shape[1])
        parents = squash(votes.combine(coupling))
        return RoutingResult(parents, capsule_length(parents), coupling)

    def get_config(self):
        return {**super().get_config(), "reduction_ratio": self.reduction_ratio}
