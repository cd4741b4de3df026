"""Implements uniform routing, the control that every comparison of routings needs."""

from typing import ClassVar

import keras

from keras_capsules.ops import capsule_length, squash
from keras_capsules.routing.base import Routing, RoutingResult


@keras.saving.register_keras_serializable(package="keras_capsules")
class UniformRouting(Routing):
    """Gives every parent an equal share of every vote.

    `c_ij = 1 / J`, `v_j = squash(sum_i c_ij * votes_ij)` for J parents.

    Dynamic routing with one iteration does the same. If a routing does not beat uniform routing,
    its iterations gain nothing.

    Call arguments, output shapes and errors: see `keras_capsules.Routing`.

    Example:

    >>> votes = keras.random.normal((2, 6, 3, 4))  # 6 children, 3 parents, poses of 4
    >>> keras_capsules.UniformRouting()(votes).poses.shape
    (2, 3, 4)

    Reference:
        Paik, Kwak, Kim, 2019, arXiv 1907.13327 (comparison of routings with uniform routing).
    """

    sums_votes = True
    vote_scaling: ClassVar = {"length": 2.0}

    def route(self, votes, activations=None, poses=None):
        share = 1.0 / votes.shape[1]
        parents = squash(votes.total() * share)
        coupling = votes.equal_shares(share)
        return RoutingResult(parents, capsule_length(parents), coupling)
