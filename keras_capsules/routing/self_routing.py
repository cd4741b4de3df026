"""Implements self-routing: each child chooses its parents from its pose alone."""

from typing import ClassVar

import keras
from keras import ops

from keras_capsules.ops import at_least_float32
from keras_capsules.routing.base import TINY, Routing, RoutingResult


@keras.saving.register_keras_serializable(package="keras_capsules")
class SelfRouting(Routing):
    """Computes a child's coupling from its pose alone, in one pass.

    `c_ij = softmax_j(u_i @ kernel_i + bias_i)`, `a_j = sum_i a_i * c_ij / sum_i a_i`,
    `v_j = sum_i a_i * c_ij * votes_ij / sum_i a_i * c_ij`.

    Weights:
        `kernel`: `(num_in, in_dim, num_out)`, `bias`: `(num_in, num_out)`, zeros at first.

    Call arguments, output shapes and errors: see `keras_capsules.Routing`. `activations` and
    `poses` are required, and the number of children must be known.

    Raises:
        ValueError: If `activations` or `poses` are missing.

    Example:

    >>> votes, poses = keras.random.normal((2, 6, 3, 4)), keras.random.normal((2, 6, 8))
    >>> activations = keras.random.uniform((2, 6))
    >>> tuple(keras_capsules.SelfRouting()(votes, activations, poses).poses.shape)
    (2, 3, 4)

    Reference:
        Hahn, Pyeon, Kim, 2019, "Self-Routing Capsule Networks", NeurIPS.
    """

    explicit_activations = True
    needs_poses = True
    sums_votes = True
    vote_scaling: ClassVar = {"target": "mean"}

    def build(self, votes_shape: tuple, poses_shape: tuple) -> None:
        children, parents = self._known_children(votes_shape), votes_shape[2]
        self.kernel = self.add_weight(
            name="kernel", shape=(children, poses_shape[2], parents), initializer="zeros"
        )
        self.bias = self.add_weight(name="bias", shape=(children, parents), initializer="zeros")
        self.built = True

    def route(self, votes, activations=None, poses=None):
        kernel, bias = at_least_float32(self.kernel), at_least_float32(self.bias)
        logits = ops.matmul(ops.transpose(poses, (1, 0, 2)), kernel) + ops.expand_dims(bias, 1)
        shares = ops.transpose(ops.softmax(logits, axis=-1), (1, 2, 0))
        weights = ops.expand_dims(activations, 1) * shares
        mass = ops.sum(weights, axis=2)
        parents = votes.combine(weights) / (ops.expand_dims(mass, 2) + TINY)
        total = ops.sum(activations, axis=1, keepdims=True)
        return RoutingResult(parents, mass / (total + TINY), shares)
