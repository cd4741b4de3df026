"""Behaviour-to-interest routing against its float64 reference, and in a small recommender."""

import keras
import numpy as np
import onnx
import pytest
from conftest import gradient, once, to_numpy
from reference import multi_interest as reference

import export
from keras_capsules import LabelAwareAttention, MultiInterestCapsule

LENGTHS = [1, 2, 3, 4, 7, 8, 9, 12]


@pytest.fixture
def users(generator):
    """Users with 1 to 12 behaviours, padded to 12, and their mask."""
    behaviours = generator.normal(size=(8, 12, 5)).astype("float32")
    return behaviours, np.arange(12) < np.array(LENGTHS)[:, None]


def built(**options):
    layer = MultiInterestCapsule(**{"num_interests": 3, "interest_dim": 6, **options})
    layer.build((None, 12, 5))
    return layer


def expected(layer, behaviours, mask, **options):
    kernel, logits = to_numpy([layer.kernel, layer.routing_logits])
    return reference.multi_interest(behaviours, mask, kernel, logits, **options)


@pytest.mark.parametrize("iterations", [1, 3])
@pytest.mark.parametrize("dynamic", [True, False])
def test_algorithm_1(users, iterations, dynamic):
    behaviours, mask = users
    layer = built(iterations=iterations, dynamic_interests=dynamic)
    interests, there = expected(layer, *users, iterations=iterations, dynamic=dynamic)
    found = to_numpy(layer(behaviours, mask=mask))
    np.testing.assert_allclose(found, interests, atol=1e-5)
    found_mask = layer.compute_mask(keras.ops.convert_to_tensor(behaviours), mask)
    if dynamic:
        np.testing.assert_array_equal(to_numpy(found_mask), there)
        assert np.all(found[~there] == 0)
    else:
        assert found_mask is None


def test_the_number_of_interests_is_the_logarithm_of_that_of_behaviours():
    numbers = np.arange(70)
    behaviours = keras.ops.ones((70, 70, 3))
    mask = MultiInterestCapsule(5, 2).compute_mask(behaviours, np.arange(70) < numbers[:, None])
    wanted = [reference.interests_of(number, 5) for number in numbers]
    np.testing.assert_array_equal(to_numpy(mask).sum(axis=1), wanted)


def test_a_masked_run_equals_a_shorter_run_and_padding_may_be_nan(users):
    behaviours, mask = users
    layer = built()
    padded = np.where(mask[..., None], behaviours, np.nan).astype("float32")
    found = to_numpy(layer(padded, mask=mask))
    for n in (2, 5):
        length = LENGTHS[n]
        shorter = to_numpy(layer(behaviours[n : n + 1, :length]))
        np.testing.assert_allclose(found[n : n + 1], shorter, atol=1e-6)


def test_no_behaviour_at_all_gives_zeros_and_a_finite_gradient(users):
    behaviours, mask = users
    layer, mask = built(), mask.copy()
    mask[3] = False
    assert np.all(to_numpy(layer(behaviours, mask=mask))[3] == 0)
    slopes = gradient(lambda x: keras.ops.square(layer(x, mask=mask) - 0.1), behaviours)
    assert np.all(np.isfinite(slopes))
    assert np.all(slopes[~mask] == 0)
    assert np.all(np.abs(slopes[mask]).max(axis=-1) > 0)
    zeros = gradient(lambda x: layer(x), np.zeros_like(behaviours))
    assert np.all(np.isfinite(zeros))


def test_gradients_flow_through_the_last_sum_only(users):
    """With the coupling held constant, the numerical gradient is the one that the layer gives."""
    behaviours = users[0][:1]
    layer = built(dynamic_interests=False)
    kernel, logits = to_numpy([layer.kernel, layer.routing_logits])
    kernel, user = kernel.astype("float64"), behaviours[0].astype("float64")
    votes = user @ kernel
    b = logits.copy()
    for _ in range(2):
        c = np.exp(b) / np.exp(b).sum(axis=0)
        b = b + np.array([reference.squash(z) for z in c @ votes]) @ votes.T
    c = np.exp(b) / np.exp(b).sum(axis=0)

    def total(x):
        return sum(reference.squash(z).sum() for z in c @ (x @ kernel))

    found = gradient(layer, behaviours)[0]
    for place in [(0, 0), (4, 2), (11, 4)]:
        step = np.zeros_like(user)
        step[place] = 1e-5
        slope = (total(user + step) - total(user - step)) / 2e-5
        np.testing.assert_allclose(found[place], slope, rtol=1e-3)


def test_the_embedding_hands_its_mask_over_and_the_layer_hands_on_that_of_interests(users):
    lengths = np.array(LENGTHS)
    items = np.where(np.arange(12) < lengths[:, None], np.arange(1, 13), 0)
    embedding = keras.layers.Embedding(20, 5, mask_zero=True)
    layer, attention = built(), LabelAwareAttention(power=1.0)
    interests = layer(embedding(items))
    behaviours, mask = to_numpy(embedding(items)), items > 0
    wanted, there = expected(layer, behaviours, mask)
    np.testing.assert_allclose(to_numpy(interests), wanted, atol=1e-5)
    target = np.ones((8, 6), "float32")
    found = to_numpy(attention(interests, target))
    wanted = reference.label_aware(wanted, target, there, power=1)
    np.testing.assert_allclose(found, wanted, atol=1e-5)


def test_label_aware_attention(generator):
    interests = np.abs(generator.normal(size=(4, 3, 6))).astype("float32")
    target = np.abs(generator.normal(size=(4, 6))).astype("float32")
    mask = np.array([[1, 1, 1], [1, 1, 0], [1, 0, 0], [0, 1, 1]], bool)
    for power in (1.0, 1.5):
        found = LabelAwareAttention(power)(interests, target, interests_mask=mask)
        wanted = reference.label_aware(interests, target, mask, power)
        np.testing.assert_allclose(to_numpy(found), wanted, atol=1e-5)


def test_label_aware_attention_stays_finite_and_prefers_the_better_match():
    interests = np.array([[[1.0, 0.0], [-1.0, 0.0]]], "float32")
    layer = LabelAwareAttention(power=2.0)
    for size in (3.0, 1e38):
        target = np.array([[size, 0.0]], "float32")
        found = to_numpy(layer(interests, target))
        np.testing.assert_allclose(found, [[1.0, 0.0]], atol=1e-5)
    for power in (1.0, 1.2):
        slopes = gradient(lambda x, p=power: LabelAwareAttention(p)(x, x[:, 0]), 0 * interests)
        assert np.all(np.isfinite(slopes))


def test_config():
    layer = MultiInterestCapsule(
        4,
        8,
        iterations=2,
        max_length=9,
        dynamic_interests=False,
        kernel_initializer="he_normal",
        kernel_regularizer=keras.regularizers.L2(0.1),
        seed=3,
    )
    for one in (layer, LabelAwareAttention(power=3.0)):
        again = keras.layers.deserialize(keras.layers.serialize(one))
        assert again.get_config() == one.get_config()
    layer.build((None, None, 5))
    same = MultiInterestCapsule.from_config(layer.get_config())
    same.build((None, None, 5))
    np.testing.assert_array_equal(*to_numpy([layer.routing_logits, same.routing_logits]))
    assert layer.routing_logits.shape == (4, 9)
    assert [w.name for w in layer.trainable_weights] == ["kernel"]
    assert layer.compute_output_shape((2, None, 5)) == (2, 4, 8)


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: MultiInterestCapsule(0, 4), "num_interests=0"),
        (lambda: MultiInterestCapsule(3, 4, max_length=0), "max_length=0"),
        (lambda: MultiInterestCapsule(3, 4, iterations=0), "iterations=0"),
        (lambda: MultiInterestCapsule(3, 4).build((None, None, 5)), "`max_length` the length"),
        (lambda: MultiInterestCapsule(3, 4)(np.ones((2, 5))), "length, in_dim"),
        (lambda: built()(np.ones((2, 13, 5))), "logits for 12 behaviours"),
        (lambda: LabelAwareAttention(0.5), "power=0.5"),
        (lambda: LabelAwareAttention()(np.ones((2, 3, 4)), np.ones((2, 5))), "target.shape"),
    ],
)
def test_refused(call, message):
    with pytest.raises(ValueError, match=message):
        call()


def test_mixed_precision_stays_finite(users):
    behaviours, mask = users
    exact = built(seed=1)
    half = built(seed=1, dtype="mixed_float16")
    half.kernel.assign(exact.kernel)
    for layer in (exact, half):  # float16 would round these logits to halves.
        layer.routing_logits.assign(layer.routing_logits + 1000.0)
    found = half(100 * behaviours, mask=mask)
    assert keras.backend.standardize_dtype(found.dtype) == "float16"
    assert np.all(np.isfinite(to_numpy(found)))
    near = to_numpy(half(behaviours, mask=mask)).astype("float32")
    np.testing.assert_allclose(near, to_numpy(exact(behaviours, mask=mask)), atol=2e-2)


def recommender(length=12):
    """Scores the next item by the interest that a user's behaviours share with it."""
    history = keras.Input((length,), dtype="int32", name="history")
    target = keras.Input((), dtype="int32", name="target")
    embedding = keras.layers.Embedding(21, 8, mask_zero=True, name="items")
    interests = MultiInterestCapsule(4, 8, max_length=12, seed=0)(embedding(history))
    user = LabelAwareAttention()(interests, embedding(target))
    score = keras.layers.Dot(axes=1)([user, embedding(target)])
    return keras.Model({"history": history, "target": target}, score)


def test_trains_saves_and_loads(tmp_path, generator):
    """Users have one of two groups of items; the target is of their group, or not."""
    group = generator.integers(2, size=64)
    history = 1 + 10 * group[:, None] + generator.integers(10, size=(64, 12))
    history[np.arange(12) >= generator.integers(4, 13, size=(64, 1))] = 0
    other = generator.integers(2, size=64)
    target = 1 + 10 * other + generator.integers(10, size=64)
    x, y = {"history": history, "target": target}, (group == other).astype("float32")
    model = recommender(length=None)
    model.compile(keras.optimizers.Adam(0.05), keras.losses.BinaryCrossentropy(from_logits=True))
    losses = model.fit(x, y, epochs=12, batch_size=32, verbose=0).history["loss"]
    assert losses[-1] < 0.7 * losses[0]
    model.save(tmp_path / "model.keras")
    again = keras.models.load_model(tmp_path / "model.keras")
    predictions = model.predict(x, verbose=0), again.predict(x, verbose=0)
    np.testing.assert_allclose(*predictions, atol=1e-6)


@once
@pytest.mark.usefixtures("warm_conversions")
def test_export(tmp_path):
    behaviours = keras.Input((12, 5), name="behaviours")
    target = keras.Input((6,), name="target")
    present = keras.Input((12,), name="present")
    layer = MultiInterestCapsule(3, 6)
    interests = layer(behaviours, mask=present > 0)
    user = LabelAwareAttention()(interests, target)
    outputs = {"interests": interests, "user": user}
    model = keras.Model({"behaviours": behaviours, "target": target, "present": present}, outputs)
    report = export.export_onnx(model, tmp_path / "model.onnx")
    assert report.passed
    operations = {node.op_type for node in onnx.load(tmp_path / "model.onnx").graph.node}
    assert not operations & {"Loop", "If", "Einsum"}
