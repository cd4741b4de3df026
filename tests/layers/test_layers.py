import keras
import numpy as np
import pytest
from conftest import gradient, to_numpy
from reference import routing as reference

import keras_capsules
from keras_capsules import (
    CapsuleLayer,
    CapsuleLength,
    CapsuleMask,
    ConvCapsule2D,
    PrimaryCapsule2D,
    ReconstructionDecoder,
    VoteScaling,
    routing,
)

LAYERS = [
    (CapsuleLayer(3, 5), (6, 4)),
    (CapsuleLayer(3, 5, routing="uniform", use_bias=True, kernel_regularizer="l2"), (2, 2, 3, 4)),
    (CapsuleLayer(3, 4, transform="matrix", share_weights=True, use_bias=True), (6, 4)),
    (CapsuleLayer(2, 3, kernel_initializer="he_normal", kernel_constraint="unit_norm"), (6, 4)),
    (PrimaryCapsule2D(2, 4, 3, strides=2, padding="same", activation=None), (7, 9, 5)),
    (PrimaryCapsule2D(2, 4, (3, 1)), (7, 9, 5)),
    (CapsuleLength(), (6, 4)),
    (CapsuleMask(), (6, 4)),
    (ReconstructionDecoder((3, 2, 1), units=(8, 7)), (6, 4)),
    (ReconstructionDecoder((3, 2, 1), class_independent=True, name="class_independent"), (6, 4)),
]
every_layer = pytest.mark.parametrize(
    ("layer", "shape"), LAYERS, ids=[f"{layer.name}-{len(shape)}d" for layer, shape in LAYERS]
)


@every_layer
def test_config_shapes_and_weights_of_a_rebuilt_layer(generator, layer, shape):
    x = generator.normal(size=(2, *shape)).astype("float32")
    expected = to_numpy(layer(x))
    assert layer(keras.Input(shape)).shape == (None, *expected.shape[1:])
    assert layer.compute_output_shape((None, *shape)) == (None, *expected.shape[1:])
    again = type(layer).from_config(layer.get_config())
    assert again.get_config() == layer.get_config()
    again.build((None, *shape))
    again.set_weights(layer.get_weights())
    np.testing.assert_array_equal(to_numpy(again(x)), expected)


@every_layer
@pytest.mark.parametrize("policy", ["mixed_float16", "mixed_bfloat16"])
def test_mixed_precision(generator, layer, shape, policy):
    config = layer.get_config() | {"dtype": keras.DTypePolicy(policy)}
    config.pop("routing", None)
    half = type(layer).from_config(config)
    assert type(layer).from_config(half.get_config()).dtype_policy.name == policy
    x = generator.normal(size=(2, *shape)).astype("float32")
    outputs = half(x)
    assert keras.backend.standardize_dtype(outputs.dtype) == policy.removeprefix("mixed_")
    assert all(weight.dtype == "float32" for weight in half.weights)
    assert np.isfinite(to_numpy(keras.ops.cast(outputs, "float32"))).all()


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


@pytest.mark.parametrize("children", [16, 1152])
def test_default_initializer_starts_parents_long_enough_for_a_stack(generator, children):
    poses = generator.normal(size=(4, children, 8)).astype("float32")
    poses /= np.linalg.norm(poses, axis=-1, keepdims=True)
    layer = CapsuleLayer(10, 16, routing="uniform")
    lengths = to_numpy(CapsuleLength()(layer(poses)))
    assert 0.7 < lengths.mean() < 0.9  # 2**2 / (1 + 2**2) is 0.8.
    assert np.abs(gradient(layer, poses)).max() > 0
    np.testing.assert_allclose(
        np.std(to_numpy(layer.kernel)), 20 / np.sqrt(children * 16), rtol=0.05
    )


def test_a_shared_kernel_starts_as_one_of_many():
    layer = CapsuleLayer(10, 16, share_weights=True)
    layer.build((None, 100_000_000, 128))  # Their own kernels would not fit into any memory.
    np.testing.assert_allclose(np.std(to_numpy(layer.kernel)), 20 / np.sqrt(1e8 * 16), rtol=0.05)


def test_vote_scaling_repeats_with_a_seed():
    one, two, other = (to_numpy(VoteScaling(seed)((6, 3, 4, 5))) for seed in (1, 1, 2))
    np.testing.assert_array_equal(one, two)
    assert (one != other).any()
    with pytest.raises(ValueError, match=r"shape=\(3, 4\)"):
        VoteScaling()((3, 4))


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


def test_mask_keeps_the_longest_or_the_labelled(generator):
    poses = generator.normal(size=(5, 4, 3)).astype("float32")
    longest = np.linalg.norm(poses, axis=-1).argmax(axis=1)
    expected = poses * np.eye(4)[longest][:, :, None]
    np.testing.assert_array_equal(to_numpy(CapsuleMask()(poses)), expected)
    equal = np.ones((2, 3, 4), "float32")
    np.testing.assert_array_equal(to_numpy(CapsuleMask()(equal))[:, :, 0], [[1, 0, 0]] * 2)
    labels = np.array([[1, 0, 0, 0], [0, 1, 1, 0], [0, 0, 0, 0], [0, 0, 0, 1], [1, 0, 0, 0]])
    np.testing.assert_array_equal(
        to_numpy(CapsuleMask()(poses, labels)), poses * labels[:, :, None]
    )
    for wrong in (longest, labels[:, :3]):
        with pytest.raises(ValueError, match="to_categorical"):
            CapsuleMask()(poses, wrong)


@pytest.mark.parametrize("class_independent", [False, True])
def test_decoder_is_dense_layers_into_an_image(generator, class_independent):
    decoder = ReconstructionDecoder((3, 2, 1), (8,), class_independent)
    poses = generator.normal(size=(2, 4, 3)).astype("float32")
    image = to_numpy(decoder(poses))
    kernel_1, bias_1, kernel_2, bias_2 = (to_numpy(weight) for weight in decoder.weights)
    seen = poses.sum(axis=1) if class_independent else poses.reshape(2, 12)
    hidden = np.maximum(seen @ kernel_1 + bias_1, 0)
    expected = 1 / (1 + np.exp(-(hidden @ kernel_2 + bias_2)))
    np.testing.assert_allclose(image, expected.reshape(2, 3, 2, 1), atol=1e-6)


@pytest.mark.slow
@pytest.mark.parametrize("children", [16, 1152])
def test_few_and_many_children_train_from_the_default_initializer(generator, children):
    model = keras.Sequential([keras.Input((children, 8)), CapsuleLayer(3, 16), CapsuleLength()])
    model.compile(keras.optimizers.Adam(1e-3), keras_capsules.MarginLoss())
    labels = np.arange(48) % 3
    prototypes = generator.normal(size=(3, children, 8))
    poses = prototypes[labels] + generator.normal(size=(48, children, 8))
    poses = reference.squash(poses).astype("float32")
    targets = np.eye(3, dtype="float32")[labels]
    losses = model.fit(poses, targets, epochs=40, batch_size=16, verbose=0).history["loss"]
    assert losses[-1] < 0.5 * losses[0]


def test_sizes_may_be_numpy_integers():
    layer = CapsuleLayer(np.int64(3), np.int32(4))
    assert type(layer.get_config()["num_capsules"]) is int


@pytest.mark.slow
def test_stacked_capsule_layers_train(generator):
    model = keras.Sequential(
        [keras.Input((20, 4)), CapsuleLayer(12, 6), CapsuleLayer(8, 6), CapsuleLayer(3, 6)]
    )
    model.add(CapsuleLength())
    model.compile(keras.optimizers.Adam(1e-2), keras_capsules.MarginLoss())
    poses = generator.normal(size=(60, 20, 4)).astype("float32")
    labels = np.eye(3, dtype="float32")[np.abs(poses[..., :3]).sum(axis=1).argmax(axis=1)]
    losses = model.fit(poses, labels, epochs=12, batch_size=20, verbose=0).history["loss"]
    assert losses[-1] < 0.7 * losses[0]


@pytest.mark.slow
@pytest.mark.parametrize("name", sorted(routing.ROUTINGS))
def test_every_routing_in_a_layer_trains_and_saves(generator, tmp_path, name):
    poses = keras.Input((9, 4), name="poses")
    activations = keras.layers.Dense(1, activation="sigmoid")(poses)
    activations = keras.layers.Reshape((9,))(activations)
    layer = CapsuleLayer(3, 4, routing=name)
    explicit = layer.routing.explicit_activations
    parents = layer((poses, activations) if explicit else poses)
    present = parents[1] if explicit else CapsuleLength()(parents)
    scores = keras.layers.Dense(3, activation="softmax")(present)
    model = keras.Model(poses, scores)
    model.compile(keras.optimizers.Adam(1e-2), "categorical_crossentropy")
    inputs = generator.normal(size=(30, 9, 4)).astype("float32")
    labels = np.eye(3)[np.abs(inputs[:, :, :3]).sum(axis=1).argmax(axis=1)]
    losses = model.fit(inputs, labels, epochs=8, batch_size=10, verbose=0).history["loss"]
    assert losses[-1] < losses[0]
    model.save(tmp_path / "model.keras")
    again = keras.models.load_model(tmp_path / "model.keras")
    np.testing.assert_allclose(
        again.predict(inputs, verbose=0), model.predict(inputs, verbose=0), atol=1e-6
    )


def test_weights_for_each_child_need_their_number(generator):
    layer = CapsuleLayer(3, 4, routing="self_attention", share_weights=True)
    with pytest.raises(ValueError, match="number of children must be known"):
        layer.build((None, None, 5))


@pytest.mark.parametrize("layer", [CapsuleLayer, ConvCapsule2D])
def test_an_unknown_initializer_is_refused_with_the_names_that_fit(layer):
    sizes = {"kernel_size": 3} if layer is ConvCapsule2D else {}
    with pytest.raises(ValueError, match='"vote_scaling".*"he_normal".*vote_scalin\''):
        layer(3, 4, kernel_initializer="vote_scalin", **sizes)
    layer(3, 4, kernel_initializer="he_normal", **sizes)
