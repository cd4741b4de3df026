"""Every routing in the table, against its float64 reference and the properties all must show."""

import keras
import numpy as np
import pytest
from conftest import gradient, to_numpy
from reference import routing as reference

import keras_capsules
from keras_capsules import routing

CASES = [
    ("uniform", {}, reference.uniform),
    *[
        ("dynamic", {"iterations": iterations}, lambda v, r=iterations: reference.dynamic(v, r))
        for iterations in (1, 2, 3, 5)
    ],
]
SHAPES = [(2, 6, 3, 4), (1, 1, 1, 1), (3, 40, 10, 16), (1, 7, 2, 5)]
ids = [f"{name}{list(options.values()) or ''}" for name, options, _ in CASES]
every_routing = pytest.mark.parametrize("name", sorted(routing.ROUTINGS))


def votes_of(generator, shape=(2, 6, 3, 4), scale=1.0):
    return (scale * generator.normal(size=shape)).astype("float32")


@pytest.mark.parametrize(("name", "options", "expected"), CASES, ids=ids)
@pytest.mark.parametrize("shape", SHAPES)
@pytest.mark.parametrize("scale", [0.1, 1.0])
def test_agrees_with_the_float64_reference(generator, name, options, expected, shape, scale):
    votes = votes_of(generator, shape, scale)
    result = to_numpy(routing.get(name, **options)(votes))
    poses, coupling = expected(votes)
    np.testing.assert_allclose(result.poses, poses, atol=1e-5)
    np.testing.assert_allclose(result.coupling, coupling, atol=1e-5)
    np.testing.assert_allclose(result.activations, np.linalg.norm(poses, axis=-1), atol=1e-5)


def test_every_routing_has_a_reference():
    assert {name for name, _, _ in CASES} == set(routing.ROUTINGS)


@every_routing
def test_coupling_is_a_share_of_each_child_among_the_parents(generator, name):
    coupling = to_numpy(routing.get(name)(votes_of(generator, scale=3.0)).coupling)
    np.testing.assert_allclose(coupling.sum(axis=2), 1.0, atol=1e-6)
    assert coupling.min() >= 0


def test_dynamic_routing_is_not_normalised_over_the_children(generator):
    """The commonest bug in published code; with it, routing changes nothing."""
    votes = votes_of(generator, scale=3.0)
    one, three = (to_numpy(routing.get("dynamic", iterations=r)(votes).poses) for r in (1, 3))
    assert np.abs(one - three).max() > 0.01


def test_one_iteration_of_dynamic_routing_is_uniform(generator):
    votes = votes_of(generator)
    dynamic, uniform = routing.get("dynamic", iterations=1)(votes), routing.get("uniform")(votes)
    for one, other in zip(to_numpy(dynamic), to_numpy(uniform), strict=True):
        np.testing.assert_array_equal(one, other)


@every_routing
def test_order_of_children_and_parents(generator, name):
    votes = votes_of(generator)
    children, parents = generator.permutation(6), generator.permutation(3)
    plain = to_numpy(routing.get(name)(votes))
    shuffled = to_numpy(routing.get(name)(votes[:, children]))
    np.testing.assert_allclose(shuffled.poses, plain.poses, atol=1e-6)
    np.testing.assert_allclose(shuffled.coupling, plain.coupling[:, children], atol=1e-6)
    shuffled = to_numpy(routing.get(name)(votes[:, :, parents]))
    np.testing.assert_allclose(shuffled.poses, plain.poses[:, parents], atol=1e-6)


@every_routing
def test_samples_do_not_see_their_batch(generator, name):
    votes = votes_of(generator, (5, 6, 3, 4))
    together = to_numpy(routing.get(name)(votes))
    for index in range(5):
        alone = to_numpy(routing.get(name)(votes[index : index + 1]))
        np.testing.assert_allclose(alone.poses[0], together.poses[index], atol=1e-6)
    votes[2] = np.nan
    poisoned = to_numpy(routing.get(name)(votes).poses)
    assert np.isnan(poisoned).any(axis=(1, 2)).tolist() == [False, False, True, False, False]


@every_routing
def test_masked_children_change_nothing(generator, name):
    votes = votes_of(generator)
    mask = np.array([[True] * 4 + [False] * 2, [True] * 4 + [False] * 2])
    votes[:, 4:] = np.nan
    masked = to_numpy(routing.get(name)(votes, mask=mask))
    shorter = to_numpy(routing.get(name)(votes[:, :4]))
    np.testing.assert_allclose(masked.poses, shorter.poses, atol=1e-6)
    np.testing.assert_allclose(masked.coupling[:, :4], shorter.coupling, atol=1e-6)
    assert not masked.coupling[:, 4:].any()
    slopes = gradient(
        lambda v: routing.get(name)(v, mask=keras.ops.convert_to_tensor(mask)).poses, votes
    )
    assert np.isfinite(slopes).all() and not slopes[:, 4:].any() and slopes[:, :4].any()


@every_routing
def test_all_children_masked(generator, name):
    votes, mask = votes_of(generator), np.zeros((2, 6), "bool")
    assert not to_numpy(routing.get(name)(votes, mask=mask).poses).any()
    slopes = gradient(
        lambda v: routing.get(name)(v, mask=keras.ops.convert_to_tensor(mask)).poses, votes
    )
    assert not slopes.any()


@every_routing
@pytest.mark.parametrize("value", [0.0, 1e-19, 1e19])
def test_extreme_votes_are_finite_in_value_and_gradient(name, value):
    votes = np.full((1, 6, 3, 4), value, "float32")
    assert all(np.isfinite(part).all() for part in to_numpy(routing.get(name)(votes)))
    assert np.isfinite(gradient(lambda v: routing.get(name)(v).poses, votes)).all()


@every_routing
@pytest.mark.parametrize("policy", ["mixed_float16", "mixed_bfloat16"])
def test_half_precision_votes(generator, name, policy):
    votes = votes_of(generator)
    half = routing.get(name, dtype=policy)(votes)
    assert keras.backend.standardize_dtype(half.poses.dtype) == policy.removeprefix("mixed_")
    full = to_numpy(routing.get(name)(votes))
    poses = to_numpy(keras.ops.cast(half.poses, "float32"))
    np.testing.assert_allclose(poses, full.poses, atol=2e-2)


@every_routing
def test_identical_votes_give_identical_parents(generator, name):
    votes = np.repeat(votes_of(generator, (2, 6, 1, 4)), 3, axis=2)
    poses = to_numpy(routing.get(name)(votes).poses)
    np.testing.assert_allclose(poses, poses[:, :1].repeat(3, axis=1), atol=1e-6)


@every_routing
def test_config_round_trip_and_symbolic_call(name):
    layer = routing.get(name)
    config = keras.saving.serialize_keras_object(layer)
    again = routing.get(config)
    assert type(again) is type(layer) and again.get_config() == layer.get_config()
    result = layer(keras.Input((6, 3, 4)))
    assert [tensor.shape for tensor in result] == [(None, 3, 4), (None, 3), (None, 6, 3)]


def test_get_by_name_config_and_instance():
    instance = routing.get("dynamic", iterations=2)
    assert instance.iterations == 2
    assert routing.get(instance) is instance
    relu = keras.layers.ReLU()
    for wrong in ("dynamik", keras.saving.serialize_keras_object(relu), 3, relu):
        with pytest.raises(ValueError):
            routing.get(wrong)
    with pytest.raises(ValueError, match="dynamic, .*uniform.*'dynamik'"):
        routing.get("dynamik")
    with pytest.raises(ValueError, match="name of a routing"):
        routing.get(instance, iterations=3)


@pytest.mark.parametrize("iterations", [0, -1, 2.0, True, None])
def test_iterations_must_be_positive(iterations):
    with pytest.raises(ValueError, match=f"iterations={iterations}"):
        routing.get("dynamic", iterations=iterations)


@every_routing
def test_wrong_arguments(generator, name):
    votes = votes_of(generator)
    for arguments, message in (
        ({"votes": votes[0]}, r"votes.shape=\(6, 3, 4\)"),
        ({"votes": votes, "mask": np.ones((2, 5), "bool")}, r"mask.shape=\(2, 5\)"),
        ({"votes": votes, "mask": np.ones((2, 6, 1), "bool")}, "mask.shape"),
        ({"votes": votes, "poses": votes[..., 0, 0]}, "poses.shape"),
        ({"votes": votes, "activations": votes[..., 0, 0]}, "explicit_activations=True"),
    ):
        with pytest.raises(ValueError, match=message):
            routing.get(name)(**arguments)


@keras.saving.register_keras_serializable(package="tests")
class ActivationWeightedMean(keras_capsules.Routing):
    """A routing of the explicit family as a user would write it: the mean, weighted."""

    explicit_activations = True

    def route(self, votes, activations=None, poses=None):
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
        keras_capsules.Routing()(votes_of(generator))


def test_jit(generator):
    """One compiled step on the backends that compile by default."""
    if keras.backend.backend() == "torch":
        pytest.skip("torch does not compile by default")
    model = keras.Sequential([keras.Input((6, 4)), keras_capsules.CapsuleLayer(3, 5)])
    model.compile("adam", "mse", jit_compile=True)
    model.fit(generator.normal(size=(4, 6, 4)), np.zeros((4, 3, 5)), verbose=0)
