"""Metrics against float64 NumPy over all inputs at once, alone and in compiled training."""

import keras
import numpy as np
import pytest

import keras_capsules
from keras_capsules import CouplingEntropy, CouplingVariance, DeadCapsuleRate, TopKSetAccuracy


def value(metric):
    return float(keras.ops.convert_to_numpy(metric.result()))


def couplings(generator, samples=40, children=5, parents=3):
    logits = generator.normal(scale=2.0, size=(samples, children, parents))
    return np.exp(logits) / np.exp(logits).sum(axis=2, keepdims=True)


def in_batches(metric, *arrays, size=8):
    for start in range(0, len(arrays[0]), size):
        metric.update_state(*(array[start : start + size] for array in arrays))
    return value(metric)


def test_coupling_entropy(generator):
    c = couplings(generator)
    expected = (-(c * np.log(c)).sum(axis=2) / np.log(3)).mean()
    metric = CouplingEntropy()
    np.testing.assert_allclose(in_batches(metric, c.astype("float32")), expected, rtol=1e-5)
    metric.reset_state()
    half = 0.5 * c.astype("float32")  # A leaky child keeps half of its vote to itself.
    np.testing.assert_allclose(in_batches(metric, half), expected, rtol=1e-5)


def test_coupling_entropy_extremes_and_absent_children():
    metric = CouplingEntropy()
    metric.update_state(np.full((2, 4, 5), 0.2, "float32"))
    assert value(metric) == pytest.approx(1.0)
    metric.reset_state()
    one_parent = np.eye(5, dtype="float32")[None, :4]
    metric.update_state(one_parent)
    assert value(metric) == pytest.approx(0.0, abs=1e-6)
    metric.reset_state()
    absent = np.full((2, 4, 5), 0.2, "float32")
    absent[0, 1:] = 0.0
    absent[1] = 0.0  # Nothing voted here.
    metric.update_state(absent)
    assert value(metric) == pytest.approx(1.0)


def test_coupling_variance(generator):
    c = couplings(generator)
    metric = CouplingVariance()
    np.testing.assert_allclose(  # The last batch is smaller.
        in_batches(metric, c.astype("float32"), size=25), c.var(axis=0).mean(), rtol=1e-5
    )
    metric.reset_state()
    assert value(metric) == 0.0
    np.testing.assert_allclose(
        in_batches(metric, c.astype("float32"), size=40), c.var(axis=0).mean(), rtol=1e-5
    )


def test_coupling_variance_tells_a_static_routing_from_a_nearly_static_one(generator):
    """Sums of squares in float32 would be wrong from 1e-7 on."""
    c = (0.7 + 1e-5 * generator.normal(size=(2048, 2, 2))).astype("float32")
    expected = c.astype("float64").var(axis=0).mean()
    assert expected < 2e-10
    np.testing.assert_allclose(in_batches(CouplingVariance(), c, size=32), expected, rtol=1e-2)
    static = np.full((2048, 2, 2), 0.7, "float32")
    assert in_batches(CouplingVariance(), static, size=32) < 1e-12


def test_sample_weights(generator):
    c = couplings(generator, samples=8).astype("float32")
    weights = np.array([1, 0, 1, 1, 0, 0, 1, 1], "float32")
    for metric in (CouplingEntropy(), CouplingVariance()):
        metric.update_state(None, c, sample_weight=weights)
        weighted = value(metric)
        metric.reset_state()
        metric.update_state(c[weights > 0])
        np.testing.assert_allclose(weighted, value(metric), rtol=1e-5)
        metric.reset_state()
        metric.update_state(None, c[weights > 0], sample_weight=0.5)
        np.testing.assert_allclose(value(metric), weighted, rtol=1e-5)


def test_dead_capsule_rate(generator):
    lengths = generator.uniform(high=0.009, size=(12, 10)).astype("float32")
    lengths[5, 3] = lengths[11, 7] = lengths[0, 0] = 0.02  # Woken by one input each.
    assert value(DeadCapsuleRate()) == 1.0
    assert in_batches(DeadCapsuleRate(), lengths, size=4) == pytest.approx(0.7)
    assert in_batches(DeadCapsuleRate(threshold=0.05), lengths) == 1.0
    poses = np.stack([0.6 * lengths, -0.8 * lengths], axis=-1)
    assert in_batches(DeadCapsuleRate(), poses, size=4) == pytest.approx(0.7)
    grid = poses.reshape((12, 1, 2, 5, 2))
    metric = DeadCapsuleRate()
    assert in_batches(metric, grid, size=4) == pytest.approx(0.7)
    metric.reset_state()
    assert value(metric) == 1.0


def test_top_k_set_accuracy(generator):
    scores = generator.uniform(size=(50, 4)).astype("float32")
    labels = np.zeros((50, 4), "float32")
    for row in labels:
        row[generator.choice(4, size=generator.integers(1, 4), replace=False)] = 1
    right = [
        set(np.argsort(s)[-2:]) == set(np.flatnonzero(present))
        for s, present in zip(scores, labels, strict=True)
    ]
    assert 0 < sum(right) < 50
    assert in_batches(TopKSetAccuracy(k=2), labels, scores) == pytest.approx(np.mean(right))
    one_hot = np.eye(4, dtype="float32")[generator.integers(4, size=50)]
    expected = (scores.argmax(axis=1) == one_hot.argmax(axis=1)).mean()
    assert in_batches(TopKSetAccuracy(k=1), one_hot, scores) == pytest.approx(expected)


def test_half_precision_is_counted_in_float32():
    c = np.full((3008, 1, 2), 0.5, "float16")
    c[::2] = [[0.25, 0.75]]
    assert in_batches(CouplingVariance(), c, size=64) == pytest.approx(0.125**2, rel=1e-5)
    metric = CouplingEntropy()
    in_batches(metric, c, size=64)
    assert all(v.dtype == "float32" for v in metric.variables)


@pytest.mark.parametrize(
    "metric",
    [
        CouplingEntropy(name="entropy"),
        CouplingVariance(),
        DeadCapsuleRate(threshold=0.2),
        TopKSetAccuracy(k=3),
    ],
)
def test_config(metric):
    again = keras.metrics.deserialize(keras.metrics.serialize(metric))
    assert type(again) is type(metric)
    assert again.get_config() == metric.get_config()


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: CouplingEntropy().update_state(np.ones((2, 3))), "num_in, num_out"),
        (lambda: CouplingVariance().update_state(np.ones((2, 3))), "num_in, num_out"),
        (lambda: CouplingEntropy().update_state(np.ones((2, 3, 1))), "two or more parents"),
        (
            lambda: in_batches(DeadCapsuleRate(), np.ones([1] * 6)),
            "num_capsules, capsule_dim",
        ),
        (lambda: TopKSetAccuracy(k=0), "k=0"),
        (lambda: TopKSetAccuracy(k=4).update_state(np.ones((2, 3)), np.ones((2, 3))), "4 classes"),
        (lambda: TopKSetAccuracy().update_state(np.ones((2, 2)), np.ones((2, 3))), "one-hot"),
    ],
)
def test_refused(call, message):
    with pytest.raises(ValueError, match=message):
        call()


def test_one_metric_is_for_one_layer():
    for metric in (CouplingVariance(), DeadCapsuleRate()):
        metric.update_state(np.ones((2, 3, 2), "float32"))
        with pytest.raises(ValueError, match="a metric for each layer"):
            metric.update_state(np.ones((2, 4, 2), "float32"))


def test_in_compiled_training(tmp_path, generator):
    poses = keras.Input((6, 4), name="poses")
    parents, coupling = keras_capsules.CapsuleLayer(3, 4)(poses, return_coupling=True)
    lengths = keras_capsules.CapsuleLength(name="scores")(parents)
    coupling = keras.layers.Identity(name="coupling")(coupling)
    model = keras.Model(poses, {"scores": lengths, "coupling": coupling})
    model.compile(
        "sgd",
        loss={"scores": keras_capsules.MarginLoss()},
        metrics={
            "scores": [TopKSetAccuracy(k=1), DeadCapsuleRate()],
            "coupling": [CouplingEntropy(), CouplingVariance()],
        },
    )
    x = generator.normal(size=(20, 6, 4)).astype("float32")
    y = {"scores": np.eye(3)[generator.integers(3, size=20)], "coupling": np.zeros(20)}
    model.fit(x, y, batch_size=8, epochs=2, verbose=0)
    predicted = model.predict(x, verbose=0)
    c = predicted["coupling"].astype("float64")
    expected = {
        "coupling_coupling_variance": c.var(axis=0).mean(),
        "coupling_coupling_entropy": (-(c * np.log(c)).sum(axis=2) / np.log(3)).mean(),
        "scores_dead_capsule_rate": (predicted["scores"].max(axis=0) <= 0.01).mean(),
        "scores_top_k_set_accuracy": (
            predicted["scores"].argmax(axis=1) == y["scores"].argmax(axis=1)
        ).mean(),
    }
    assert expected["coupling_coupling_variance"] > 1e-6
    model.save(tmp_path / "model.keras")
    for tested in (model, keras.models.load_model(tmp_path / "model.keras")):
        found = tested.evaluate(x, y, batch_size=8, verbose=0, return_dict=True)
        for name, number in expected.items():
            np.testing.assert_allclose(found[name], number, rtol=1e-4, err_msg=name)


@pytest.mark.parametrize("join", [np.sum, np.mean])
@pytest.mark.parametrize("name", ["CouplingVariance", "CouplingEntropy", "DeadCapsuleRate"])
def test_states_of_two_devices_add_up(generator, name, join):
    """What `tf.distribute` does with the states of its replicas, and other engines by averages."""
    c = couplings(generator).astype("float32")
    c[:25, :, 0] = 0.0  # Only one of the two sees this parent.
    whole, *parts, joined = (getattr(keras_capsules, name)() for _ in range(4))
    for metric, samples in zip((whole, *parts, joined), (c, c[:10], c[10:], c[:1]), strict=True):
        metric.update_state(samples[:, 0] if name == "DeadCapsuleRate" else samples)
    for target, *states in zip(joined.variables, *(part.variables for part in parts), strict=True):
        target.assign(join([keras.ops.convert_to_numpy(state) for state in states], axis=0))
    assert value(joined) == pytest.approx(value(whole), rel=1e-5)
    assert name == "CouplingEntropy" or value(joined) != pytest.approx(value(parts[0]), rel=1e-2)
