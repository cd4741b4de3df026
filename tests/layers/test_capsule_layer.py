"""The votes of a capsule layer, its bias, its masks, and what it refuses."""

import keras
import numpy as np
import pytest
from conftest import to_numpy
from reference import routing as reference

from keras_capsules import CapsuleLayer, CapsuleLength, ConvCapsule2D
from keras_capsules.routing import InvertedDotProductRouting


def votes_one_by_one(layer, poses):
    """Each child's pose through its own kernel, in float64."""
    kernel = to_numpy(layer.kernel).astype("float64")
    batch, children, _ = poses.shape
    votes = np.zeros((batch, children, layer.num_capsules, layer.capsule_dim))
    for n, i, j in np.ndindex(votes.shape[:3]):
        weights = kernel[0 if layer.share_weights else i, j]
        pose = poses[n, i].astype("float64")
        if layer.transform == "matrix":
            side = len(weights)
            votes[n, i, j] = (pose.reshape(side, side) @ weights).reshape(-1)
        else:
            votes[n, i, j] = pose @ weights
        if layer.bias is not None:
            votes[n, i, j] += to_numpy(layer.bias)[j]
    return votes


@pytest.mark.parametrize("transform", ["dense", "matrix"])
@pytest.mark.parametrize("share_weights", [False, True])
@pytest.mark.parametrize("use_bias", [False, True])
@pytest.mark.parametrize("batch", [1, 3])
def test_votes_and_routing(generator, transform, share_weights, use_bias, batch):
    layer = CapsuleLayer(3, 4, transform=transform, share_weights=share_weights, use_bias=use_bias)
    poses = generator.normal(size=(batch, 7, 4 if transform == "matrix" else 5)).astype("float32")
    layer.build(poses.shape)
    if use_bias:
        layer.bias.assign(generator.normal(size=(3, 4)))
    found, coupling = to_numpy(layer(poses, return_coupling=True))
    expected, expected_coupling = reference.dynamic(votes_one_by_one(layer, poses))
    np.testing.assert_allclose(found, expected, atol=1e-5)
    np.testing.assert_allclose(coupling, expected_coupling, atol=1e-5)


@pytest.mark.parametrize("layer", [CapsuleLayer, ConvCapsule2D])
def test_the_bias_starts_as_it_is_told(layer):
    sizes, shape = (
        ({}, (None, 7, 5)) if layer is CapsuleLayer else ({"kernel_size": 3}, (None, 4, 4, 7, 5))
    )
    told = {"bias_initializer": keras.initializers.Constant(0.25)}
    for options, expected in (({}, 0.0), (told, 0.25)):
        first = layer(3, 4, use_bias=True, **sizes, **options)
        for each in (first, layer.from_config(first.get_config())):
            each.build(shape)
            np.testing.assert_array_equal(to_numpy(each.bias), np.full((3, 4), expected, "float32"))


def test_the_layer_and_its_routing_agree(generator):
    layer = CapsuleLayer(3, 5)
    poses = generator.normal(size=(2, 7, 4)).astype("float32")
    found = to_numpy(layer(poses))
    votes = np.einsum("bid,ijde->bije", poses, to_numpy(layer.kernel))
    np.testing.assert_allclose(found, to_numpy(layer.routing(votes).poses), atol=1e-6)


def test_a_bias_tells_a_pose_from_its_negative(generator):
    poses = generator.normal(size=(2, 6, 4)).astype("float32")
    plain, biased = CapsuleLayer(3, 5), CapsuleLayer(3, 5, use_bias=True)
    np.testing.assert_allclose(
        to_numpy(CapsuleLength()(plain(poses))), to_numpy(CapsuleLength()(plain(-poses))), atol=1e-6
    )
    biased.build(poses.shape)
    biased.bias.assign(np.ones((3, 5)))
    lengths = [to_numpy(CapsuleLength()(biased(sign * poses))) for sign in (1, -1)]
    assert np.abs(lengths[0] - lengths[1]).max() > 0.01


def test_a_grid_is_flattened_in_its_order(generator):
    grid = generator.normal(size=(2, 2, 3, 4, 5)).astype("float32")
    layer = CapsuleLayer(3, 5)
    np.testing.assert_array_equal(to_numpy(layer(grid)), to_numpy(layer(grid.reshape(2, 24, 5))))


def test_shared_weights_take_any_number_of_children(generator):
    layer = CapsuleLayer(3, 5, share_weights=True)
    model = keras.Sequential([keras.Input((None, 4)), layer])
    assert layer.kernel.shape == (1, 3, 4, 5)
    for children in (1, 6, 11):
        poses = generator.normal(size=(2, children, 4)).astype("float32")
        expected, _ = reference.dynamic(votes_one_by_one(layer, poses))
        np.testing.assert_allclose(model.predict(poses, verbose=0), expected, atol=1e-5)


def test_a_mask_reaches_the_routing(generator):
    poses = generator.normal(size=(2, 6, 4)).astype("float32")
    mask = np.array([[True] * 4 + [False] * 2] * 2)
    layer = CapsuleLayer(3, 5, share_weights=True, use_bias=True)
    layer.build(poses.shape)
    layer.bias.assign(np.ones((3, 5)))
    masked, coupling = to_numpy(layer(poses, mask=mask, return_coupling=True))
    np.testing.assert_allclose(masked, to_numpy(layer(poses[:, :4])), atol=1e-6)
    assert not coupling[:, 4:].any()
    words = keras.Sequential([keras.layers.Embedding(9, 4, mask_zero=True), layer])
    padded, short = np.array([[1, 2, 3, 0, 0]]), np.array([[1, 2, 3]])
    np.testing.assert_allclose(to_numpy(words(padded)), to_numpy(words(short)), atol=1e-6)


@pytest.mark.parametrize(
    ("arguments", "shape", "message"),
    [
        ({}, (4,), r"shape=\(2, 4\)"),
        ({}, (2, 2, 2, 3, 4), r"PrimaryCapsule2D.*shape=\(2, 2, 2, 2, 3, 4\)"),
        ({}, (0, 4), "at least one child"),
        ({}, (0, 3, 2, 4), "at least one child"),
        ({}, (None, 4), "share_weights=True"),
        ({"transform": "matrix"}, (6, 5), "matrix of the size of its parent's"),
    ],
)
def test_inputs_that_do_not_fit(arguments, shape, message):
    with pytest.raises(ValueError, match=message):
        CapsuleLayer(3, 4, **arguments).build((2, *shape))


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"num_capsules": 0}, "num_capsules=0"),
        ({"capsule_dim": -1}, "capsule_dim=-1"),
        ({"num_capsules": True}, "num_capsules=True"),
        ({"routing": "dynamik"}, "Known ones: dynamic.*'dynamik'"),
        ({"transform": "affine"}, "transform='affine'"),
        ({"transform": "matrix", "capsule_dim": 6}, "capsule_dim=6"),
    ],
)
def test_arguments_out_of_range(arguments, message):
    with pytest.raises(ValueError, match=message):
        CapsuleLayer(**{"num_capsules": 3, "capsule_dim": 4, **arguments})


def test_weights_for_each_child_need_their_number(generator):
    layer = CapsuleLayer(3, 4, routing="self_attention", share_weights=True)
    with pytest.raises(ValueError, match="number of children must be known"):
        layer.build((None, None, 5))


def test_sizes_may_be_numpy_integers():
    layer = CapsuleLayer(np.int64(3), np.int32(4))
    assert type(layer.get_config()["num_capsules"]) is int


@pytest.mark.parametrize("share_weights", [False, True])
def test_a_built_layer_refuses_other_children(generator, share_weights):
    """Kernel and poses would broadcast: one child would count as many samples."""
    layer = CapsuleLayer(3, 4, share_weights=share_weights)
    layer(generator.normal(size=(2, 6, 8)).astype("float32"))
    assert layer(generator.normal(size=(1, 3, 2, 8)).astype("float32")).shape == (1, 3, 4)
    with pytest.raises(ValueError, match="poses of 8 components.*another layer"):
        layer(generator.normal(size=(2, 6, 1)).astype("float32"))
    for children in (1, 7):
        if share_weights:
            assert layer(np.zeros((2, children, 8), "float32")).shape == (2, 3, 4)
            continue
        with pytest.raises(ValueError, match="for 6 children"):
            layer(np.zeros((2, children, 8), "float32"))
        with pytest.raises(ValueError, match="for 6 children"):
            layer(keras.Input((children, 8)))


def test_layers_that_are_given_one_routing_have_separate_weights(generator, tmp_path):
    routing = InvertedDotProductRouting()
    layers = [CapsuleLayer(number, 4, routing=routing) for number in (3, 5)]
    model = keras.Sequential([keras.Input((6, 4)), *layers, CapsuleLength()])
    assert layers[0].routing is routing
    assert len({id(weight) for weight in model.weights}) == len(model.weights) == 6
    model.save(tmp_path / "model.keras")
    loaded = keras.models.load_model(tmp_path / "model.keras")
    poses = generator.normal(size=(2, 6, 4)).astype("float32")
    np.testing.assert_allclose(to_numpy(loaded(poses)), to_numpy(model(poses)), rtol=1e-6)
