"""Every routing in the table, against its float64 reference and the properties all must show."""

import statistics
import time

import keras
import numpy as np
import pytest
from conftest import gradient, to_numpy
from routing_cases import CASES

import keras_capsules
from keras_capsules import routing
from keras_capsules.routing.votes import StoredVotes, TrainingVotes

SHAPES = [((2, 6, 3, 4), 1.0), ((2, 6, 3, 4), 0.1), ((1, 1, 1, 2), 1.0), ((3, 40, 10, 16), 1.0)]
ids = [f"{name}{list(options.values()) or ''}" for name, options, _ in CASES]
every_routing = pytest.mark.parametrize("name", sorted(routing.ROUTINGS))
# Their coupling is not a share: a prior is added to one, the gates of the other may close.
NO_SHARES = {"self_attention", "squeeze_excitation"}


def inputs_of(layer, generator, shape=(2, 6, 3, 4), scale=1.0):
    """Random inputs of the kinds that the routing takes."""
    inputs = {"votes": scale * generator.normal(size=shape)}
    if layer.explicit_activations:
        inputs["activations"] = generator.uniform(0.05, 1, size=shape[:2])
    if layer.needs_poses:
        inputs["poses"] = generator.normal(size=(*shape[:2], 5))
    return {key: array.astype("float32") for key, array in inputs.items()}


def built(name, generator, shape=(2, 6, 3, 4), **options):
    """A routing with random weights."""
    layer = routing.get(name, **options)
    layer(**inputs_of(layer, generator, shape))
    for weight in layer.trainable_weights:
        weight.assign(to_numpy(weight) + 0.3 * generator.normal(size=weight.shape))
    return layer


def with_weights(layer, change):
    """A copy of a routing whose weights are changed."""
    again = type(layer).from_config(layer.get_config())
    arrays = [change(to_numpy(weight)) for weight in layer.trainable_weights]

    def call(**inputs):
        if not again.built:
            again(**inputs)
            for weight, array in zip(again.trainable_weights, arrays, strict=True):
                weight.assign(array)
        return again(**inputs)

    return call


def along(size, index):
    """Returns a function that picks entries of an array on the axis that has this size."""

    def pick(array):
        axes = [axis for axis, length in enumerate(array.shape) if length == size]
        return np.take(array, index, axis=axes[0]) if axes else array

    return pick


@pytest.mark.parametrize(("name", "options", "expected"), CASES, ids=ids)
@pytest.mark.parametrize(("shape", "scale"), SHAPES)
def test_agrees_with_the_float64_reference(generator, name, options, expected, shape, scale):
    layer = built(name, generator, shape, **options)
    inputs = inputs_of(layer, generator, shape, scale)
    weights = {
        weight.path.partition("/")[2]: to_numpy(weight).astype("float64")
        for weight in layer.trainable_weights
    }
    result = to_numpy(layer(**inputs))
    poses, *activations, coupling = expected(inputs, weights)
    if not layer.explicit_activations:
        activations = [np.linalg.norm(poses, axis=-1)]
    np.testing.assert_allclose(result.poses, poses, atol=1e-5)
    np.testing.assert_allclose(result.activations, activations[0], atol=1e-5)
    np.testing.assert_allclose(result.coupling, coupling, atol=1e-5)


@pytest.mark.parametrize(
    ("name", "options", "expected"), {case[0]: case for case in CASES}.values()
)
def test_gradients_are_those_of_the_reference(generator, name, options, expected):
    """Finite differences of the float64 reference, in a few random directions."""
    shape = (1, 5, 3, 4)
    layer = built(name, generator, shape, **options)
    inputs = inputs_of(layer, generator, shape)
    weights = {
        weight.path.partition("/")[2]: to_numpy(weight).astype("float64")
        for weight in layer.trainable_weights
    }
    onto = generator.normal(size=(1, 3, 4)).astype("float32")
    onto_activations = generator.normal(size=(1, 3)).astype("float32")

    def project(poses, activations):
        total = (poses * onto).sum()
        return total + (activations * onto_activations).sum() * layer.explicit_activations

    for argument, array in inputs.items():
        others = {k: keras.ops.convert_to_tensor(a) for k, a in inputs.items() if k != argument}

        def projected(x, argument=argument, others=others):
            result = layer(**{argument: x}, **others)
            total = keras.ops.sum(result.poses * keras.ops.convert_to_tensor(onto))
            if layer.explicit_activations:
                weighted = result.activations * keras.ops.convert_to_tensor(onto_activations)
                total = total + keras.ops.sum(weighted)
            return total

        slopes = gradient(projected, array)
        for _ in range(4):
            direction = generator.normal(size=array.shape)
            ends = []
            for step in (1e-5, -1e-5):
                moved = {k: a.astype("float64") for k, a in inputs.items()}
                moved[argument] = moved[argument] + step * direction
                ends.append(
                    project(*expected(moved, weights)[:2])
                    if layer.explicit_activations
                    else project(expected(moved, weights)[0], onto_activations)
                )
            difference = (ends[0] - ends[1]) / 2e-5
            np.testing.assert_allclose((slopes * direction).sum(), difference, rtol=1e-3, atol=1e-4)


def test_every_routing_has_a_reference():
    assert {name for name, _, _ in CASES} == set(routing.ROUTINGS)


@every_routing
def test_coupling_is_a_share_of_each_child_among_the_parents(generator, name):
    layer = built(name, generator)
    coupling = to_numpy(layer(**inputs_of(layer, generator, scale=3.0)).coupling)
    if name not in NO_SHARES:
        np.testing.assert_allclose(coupling.sum(axis=2), 1.0, atol=1e-6)
        assert coupling.min() >= 0


def test_a_leaky_child_keeps_part_of_its_vote(generator):
    layer = routing.get("dynamic", leaky=True)
    coupling = to_numpy(layer(**inputs_of(layer, generator)).coupling)
    assert coupling.min() > 0 and coupling.sum(axis=2).max() < 1


def test_stop_gradient_changes_the_gradient_alone(generator):
    votes = inputs_of(routing.get("dynamic"), generator)["votes"]
    through, stopped = (routing.get("dynamic", stop_gradient=s) for s in (False, True))
    np.testing.assert_array_equal(to_numpy(through(votes).poses), to_numpy(stopped(votes).poses))
    coupling = to_numpy(stopped(votes).coupling)
    slopes = gradient(lambda v: stopped(v).poses, votes)
    fixed = gradient(
        lambda v: keras_capsules.squash(
            keras.ops.sum(keras.ops.multiply(v, coupling[..., None]), axis=1)
        ),
        votes,
    )
    np.testing.assert_allclose(slopes, fixed, atol=1e-5)
    assert np.abs(gradient(lambda v: through(v).poses, votes) - slopes).max() > 1e-3


def test_dynamic_routing_is_not_normalised_over_the_children(generator):
    """The commonest bug in published code; with it, routing changes nothing."""
    votes = inputs_of(routing.get("dynamic"), generator, scale=3.0)["votes"]
    one, three = (to_numpy(routing.get("dynamic", iterations=r)(votes).poses) for r in (1, 3))
    assert np.abs(one - three).max() > 0.01


def test_one_iteration_of_dynamic_routing_is_uniform(generator):
    votes = inputs_of(routing.get("dynamic"), generator)["votes"]
    dynamic, uniform = routing.get("dynamic", iterations=1)(votes), routing.get("uniform")(votes)
    for one, other in zip(to_numpy(dynamic), to_numpy(uniform), strict=True):
        np.testing.assert_array_equal(one, other)


@every_routing
def test_order_of_children_and_parents(generator, name):
    layer = built(name, generator)
    inputs = inputs_of(layer, generator)
    children, parents = generator.permutation(6), generator.permutation(3)
    plain = to_numpy(layer(**inputs))
    shuffled_inputs = {key: array[:, children] for key, array in inputs.items()}
    shuffled = to_numpy(with_weights(layer, along(6, children))(**shuffled_inputs))
    np.testing.assert_allclose(shuffled.poses, plain.poses, atol=1e-5)
    np.testing.assert_allclose(shuffled.activations, plain.activations, atol=1e-5)
    np.testing.assert_allclose(shuffled.coupling, plain.coupling[:, children], atol=1e-5)
    shuffled_inputs = inputs | {"votes": inputs["votes"][:, :, parents]}
    shuffled = to_numpy(with_weights(layer, along(3, parents))(**shuffled_inputs))
    np.testing.assert_allclose(shuffled.poses, plain.poses[:, parents], atol=1e-5)
    np.testing.assert_allclose(shuffled.activations, plain.activations[:, parents], atol=1e-5)


@every_routing
def test_samples_do_not_see_their_batch(generator, name):
    layer = built(name, generator)
    inputs = inputs_of(layer, generator, (5, 6, 3, 4))
    together = to_numpy(layer(**inputs))
    for index in range(5):
        alone = {key: array[index : index + 1] for key, array in inputs.items()}
        np.testing.assert_allclose(
            to_numpy(layer(**alone)).poses[0], together.poses[index], atol=1e-5
        )
    inputs["votes"][2] = np.nan
    poisoned = to_numpy(layer(**inputs).poses)
    assert np.isnan(poisoned).any(axis=(1, 2)).tolist() == [False, False, True, False, False]


@every_routing
def test_masked_children_change_nothing(generator, name):
    layer = built(name, generator)
    inputs = inputs_of(layer, generator)
    mask = np.array([[True] * 4 + [False] * 2] * 2)
    inputs["votes"][:, 4:] = np.nan
    masked = to_numpy(layer(**inputs, mask=mask))
    short_inputs = {key: array[:, :4] for key, array in inputs.items()}
    shorter = to_numpy(with_weights(layer, along(6, range(4)))(**short_inputs))
    np.testing.assert_allclose(masked.poses, shorter.poses, atol=1e-5)
    np.testing.assert_allclose(masked.activations, shorter.activations, atol=1e-5)
    np.testing.assert_allclose(masked.coupling[:, :4], shorter.coupling, atol=1e-5)
    assert not masked.coupling[:, 4:].any()
    slopes = slope(layer, inputs, mask)
    assert np.isfinite(slopes).all() and not slopes[:, 4:].any() and slopes[:, :4].any()


SUMMING = sorted(name for name in routing.ROUTINGS if routing.get(name).expected_sums > 1)


@pytest.mark.parametrize("name", SUMMING)
def test_one_gradient_for_all_sums_is_the_same(generator, name):
    """In training, also for a routing that calls fewer sums than it says, or more."""
    layer = built(name, generator)
    inputs = inputs_of(layer, generator)
    mask = np.array([[True] * 4 + [False] * 2, [True] * 6])
    expected = slope(layer, inputs, mask)
    for expected_sums in (layer.expected_sums, layer.expected_sums - 1, layer.expected_sums + 2):
        found = slope(layer, inputs, mask, lambda x, sums=expected_sums: TrainingVotes(x, sums))
        np.testing.assert_allclose(found, expected, rtol=1e-5, atol=1e-6)


def slope(layer, inputs, mask=None, votes_of=StoredVotes):
    """Gradient of the sum of the squares of the poses with respect to the votes."""
    others = {
        key: keras.ops.convert_to_tensor(array)
        for key, array in {**inputs, "mask": mask}.items()
        if key != "votes" and array is not None
    }

    def squares(votes):
        parents_first = votes_of(keras.ops.transpose(votes, (0, 2, 1, 3)))
        return keras.ops.square(layer.call_parents_first(parents_first, **others).poses)

    return gradient(squares, inputs["votes"])


@every_routing
def test_all_children_masked(generator, name):
    layer = routing.get(name)
    inputs = inputs_of(layer, generator)
    mask = np.zeros((2, 6), "bool")
    assert not to_numpy(layer(**inputs, mask=mask).poses).any()
    assert not slope(layer, inputs, mask).any()


@every_routing
@pytest.mark.parametrize("value", [0.0, 1e-19, 1e19])
def test_extreme_votes_are_finite_in_value_and_gradient(generator, name, value):
    layer = routing.get(name)
    inputs = inputs_of(layer, generator)
    for votes in (value * np.sign(inputs["votes"]), np.full_like(inputs["votes"], value)):
        inputs["votes"] = votes.astype("float32")
        assert all(np.isfinite(part).all() for part in to_numpy(layer(**inputs)))
        others = {k: keras.ops.convert_to_tensor(a) for k, a in inputs.items() if k != "votes"}
        slopes = gradient(lambda v, o=others: layer(v, **o).poses, inputs["votes"])
        assert np.isfinite(slopes).all()


@every_routing
@pytest.mark.parametrize("policy", ["mixed_float16", "mixed_bfloat16"])
def test_half_precision_votes(generator, name, policy):
    inputs = inputs_of(routing.get(name), generator)
    half = routing.get(name, dtype=policy)(**inputs)
    assert keras.backend.standardize_dtype(half.poses.dtype) == policy.removeprefix("mixed_")
    if name != "squeeze_excitation":  # Its weights are random, and so others here.
        full = to_numpy(routing.get(name)(**inputs))
        poses = to_numpy(keras.ops.cast(half.poses, "float32"))
        np.testing.assert_allclose(poses, full.poses, atol=5e-2)


@every_routing
def test_identical_votes_give_identical_parents(generator, name):
    layer = routing.get(name)
    inputs = inputs_of(layer, generator)
    inputs["votes"] = np.repeat(inputs["votes"][:, :, :1], 3, axis=2)
    result = to_numpy(layer(**inputs))
    for part in (result.poses, result.activations):
        np.testing.assert_allclose(part, part[:, :1].repeat(3, axis=1), atol=1e-6)


@every_routing
def test_activations_matter_where_they_are_explicit(generator, name):
    layer = routing.get(name)
    inputs = inputs_of(layer, generator)
    if not layer.explicit_activations:
        pytest.skip("the activation of a pose is its length")
    plain = to_numpy(layer(**inputs))
    inputs["activations"][:, 0] *= 0.1
    assert np.abs(to_numpy(layer(**inputs)).poses - plain.poses).max() > 1e-3


@every_routing
def test_config_round_trip_and_symbolic_call(generator, name):
    layer = routing.get(name)
    config = keras.saving.serialize_keras_object(layer)
    again = routing.get(config)
    assert type(again) is type(layer) and again.get_config() == layer.get_config()
    symbolic = {k: keras.Input(array.shape[1:]) for k, array in inputs_of(layer, generator).items()}
    result = layer(**symbolic)
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
    with pytest.raises(ValueError, match="routing's name"):
        routing.get(instance, iterations=3)


@pytest.mark.parametrize("iterations", [0, -1, 2.0, True, None])
def test_iterations_must_be_positive(iterations):
    iterated = {name for name, options, _ in CASES if "iterations" in options}
    assert len(iterated) == 6
    for name in iterated:
        with pytest.raises(ValueError, match=f"iterations={iterations}"):
            routing.get(name, iterations=iterations)


@every_routing
def test_wrong_arguments(generator, name):
    layer = routing.get(name)
    inputs = inputs_of(layer, generator)
    wrong_shapes = [
        ({"votes": inputs["votes"][0]}, r"votes.shape=\(6, 3, 4\)"),
        ({"mask": np.ones((2, 5), "bool")}, r"mask.shape=\(2, 5\)"),
        ({"mask": np.ones((2, 6, 1), "bool")}, "mask.shape"),
        ({"poses": np.ones((2, 6), "float32")}, "poses.shape"),
    ]
    for change, message in wrong_shapes:
        with pytest.raises(ValueError, match=message):
            built(name, generator)(**{**inputs, **change})
    given = layer.explicit_activations
    change = {"activations": None if given else np.ones((2, 6), "float32")}
    with pytest.raises(ValueError, match="activations=None" if given else "explicit_activations"):
        built(name, generator)(**{**inputs, **change})


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


def test_jit(generator):
    """One compiled step on the backends that compile by default."""
    if keras.backend.backend() == "torch":
        pytest.skip("torch does not compile by default")
    model = keras.Sequential([keras.Input((6, 4)), keras_capsules.CapsuleLayer(3, 5)])
    model.compile("adam", "mse", jit_compile=True)
    model.fit(generator.normal(size=(4, 6, 4)), np.zeros((4, 3, 5)), verbose=0)


@pytest.mark.slow
def test_a_training_step_grows_with_the_iterations_no_more_than_linearly():
    """`python -m benchmarks.scaling` measures it; here with much room for noise."""
    poses, targets = np.ones((8, 512, 8), "float32"), np.zeros((8, 8, 16), "float32")

    def median_time(iterations):
        layer = keras_capsules.CapsuleLayer(8, 16, routing.get("dynamic", iterations=iterations))
        model = keras.Sequential([keras.Input((512, 8)), layer])
        model.compile("sgd", "mse")
        times = []
        for _ in range(6):
            start = time.perf_counter()
            model.train_on_batch(poses, targets)
            times.append(time.perf_counter() - start)
        return statistics.median(times[1:])  # The first compiles.

    assert median_time(30) <= 40 * median_time(3)
