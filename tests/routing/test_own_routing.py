"""A routing of the user's own."""

import keras
import numpy as np
import pytest
from conftest import to_numpy

import keras_capsules


@keras.saving.register_keras_serializable(package="tests")
class ActivationWeightedMean(keras_capsules.Routing):
    """A routing of the explicit family as a user would write it: the mean, weighted."""

    explicit_activations = True

    def route(self, votes, activations=None, poses=None):
        votes = votes.tensor
        weights = keras.ops.expand_dims(activations, 1) * keras.ops.ones_like(votes[..., 0])
        share = weights / keras.ops.sum(weights, axis=2, keepdims=True)
        parents = keras.ops.sum(share[..., None] * votes, axis=2)
        return keras_capsules.RoutingResult(parents, keras.ops.mean(weights, axis=2), share)


def test_a_routing_of_the_users_own_with_explicit_activations(generator):
    poses = generator.normal(size=(2, 6, 4)).astype("float32")
    activations = generator.uniform(size=(2, 6)).astype("float32")
    layer = keras_capsules.CapsuleLayer(3, 5, routing=ActivationWeightedMean())
    (parents, present), coupling = layer((poses, activations), return_coupling=True)
    votes = np.einsum("bid,ijde->bije", poses, to_numpy(layer.kernel))
    weights = activations / activations.sum(axis=1, keepdims=True)
    np.testing.assert_allclose(
        to_numpy(parents), np.einsum("bi,bije->bje", weights, votes), atol=1e-5
    )
    np.testing.assert_allclose(to_numpy(present)[:, 0], activations.mean(axis=1), atol=1e-6)
    assert coupling.shape == (2, 6, 3)
    with pytest.raises(ValueError, match="activations=None"):
        layer(poses)
    symbolic = layer((keras.Input((6, 4)), keras.Input((6,))))
    assert [tensor.shape for tensor in symbolic] == [(None, 3, 5), (None, 3)]
    again = keras_capsules.CapsuleLayer.from_config(layer.get_config())
    assert isinstance(again.routing, ActivationWeightedMean)


def test_a_routing_without_route_says_so(generator):
    with pytest.raises(NotImplementedError, match="must implement `route`"):
        keras_capsules.Routing()(generator.normal(size=(2, 6, 3, 4)))
