"""Implements routing by self-attention, without iterations."""

import math
from typing import ClassVar

import keras
from keras import ops

from keras_capsules.ops import at_least_float32, capsule_length, exponential_squash
from keras_capsules.routing.base import Routing, RoutingResult

# Keeps the products of very long votes inside float32.
_SCALE = 2.0**-20
_LIMIT = 1e25


@keras.saving.register_keras_serializable(package="keras_capsules")
class SelfAttentionRouting(Routing):
    """Shares votes by how well each agrees with all the other children's votes.

    `c_ij = softmax_j(sum_k votes_ij . votes_kj / sqrt(D)) + prior_ij`,
    `v_j = (1 - exp(-norm(s_j))) * s_j / norm(s_j)` with `s_j = sum_i c_ij * votes_ij`.

    The votes are summed over k first, so the cost is linear in the number of children. The prior is
    learned, so the shares of a child need not add up to one.

    Weights:
        `prior`: `(num_in, num_out)`, zeros at first.

    Call arguments, output shapes and errors: see `keras_capsules.Routing`. The number of children
    must be known.

    Example:

    >>> votes = keras.random.normal((2, 6, 3, 4))  # 6 children, 3 parents, poses of 4
    >>> tuple(keras_capsules.SelfAttentionRouting()(votes).poses.shape)
    (2, 3, 4)

    Reference:
        Mazzia, Salvetti, Chiaberge, 2021, arXiv 2101.12491.
    """

    sums_votes = True
    expected_sums = 3
    vote_scaling: ClassVar = {"length": 1.5, "longest": 5.0}

    def build(self, votes_shape):
        self.prior = self.add_weight(
            name="prior",
            shape=(self._known_children(votes_shape), votes_shape[2]),
            initializer="zeros",
        )
        self.built = True

    def route(self, votes, activations=None, poses=None):
        products = votes.agreement(votes.total() * _SCALE**2)
        products = ops.clip(products, -_LIMIT, _LIMIT)
        logits = products * (1.0 / (_SCALE**2 * math.sqrt(votes.shape[3])))
        prior = ops.transpose(at_least_float32(self.prior))
        coupling = ops.softmax(logits, axis=1) + prior
        parents = exponential_squash(votes.combine(coupling))
        return RoutingResult(parents, capsule_length(parents), coupling)
