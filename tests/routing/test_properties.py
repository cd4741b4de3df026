"""The properties that every routing in the table must show."""

import keras
import numpy as np
import pytest
from conftest import gradient, to_numpy

from keras_capsules import routing
from keras_capsules.routing.votes import StoredVotes, TrainingVotes
from tests.routing.random_inputs import built, every_routing, inputs_of

# Their coupling is not a share: a prior is added to one, the gates of the other may close.
NO_SHARES = {"self_attention", "squeeze_excitation"}
SUMMING = sorted(name for name in routing.ROUTINGS if routing.get(name).expected_sums > 1)


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
def test_coupling_is_a_share_of_each_child_among_the_parents(generator, name):
    layer = built(name, generator)
    coupling = to_numpy(layer(**inputs_of(layer, generator, scale=3.0)).coupling)
    if name not in NO_SHARES:
        np.testing.assert_allclose(coupling.sum(axis=2), 1.0, atol=1e-6)
        assert coupling.min() >= 0


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


@every_routing
def test_all_children_masked(generator, name):
    layer = routing.get(name)
    inputs = inputs_of(layer, generator)
    mask = np.zeros((2, 6), "bool")
    assert not to_numpy(layer(**inputs, mask=mask).poses).any()
    assert not slope(layer, inputs, mask).any()


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
