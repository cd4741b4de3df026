"""Faults planted in a right file: each must fail, and be laid at the right layer's door."""

import keras
import numpy as np
import onnx
import pytest
from onnx import numpy_helper

import export.report
from export import parity, source


@pytest.fixture
def model(saved_capsnet):
    return keras.models.load_model(saved_capsnet)


@pytest.fixture
def file(exported_capsnet):
    return onnx.load(exported_capsnet[0])


def change(file, name, function):
    """Replaces a weight of the graph."""
    (tensor,) = [tensor for tensor in file.graph.initializer if tensor.name == name]
    tensor.CopyFrom(numpy_helper.from_array(function(numpy_helper.to_array(tensor)), name))


def transpose_kernel(file):
    change(file, "class_capsules/matmul/B", lambda w: np.ascontiguousarray(w[:, ::-1]))


def shift_bias(file):
    change(file, "convolution/conv/B", lambda b: b + np.float32(1e-3))


def wrong_epsilon(file):
    change(file, "primary_capsules/add/B", lambda epsilon: epsilon * np.float32(1e11))


def softmax_over_children(file):
    for node in file.graph.node:
        if node.op_type == "Softmax":
            node.attribute[0].i = 2


FAULTS = {
    transpose_kernel: "class_capsules",
    shift_bias: "convolution",
    wrong_epsilon: "primary_capsules",
    softmax_over_children: "class_capsules",
}


def test_the_right_file_passes(model, file):
    comparisons = parity.compare(model, file)
    assert all(comparison.passed for comparison in comparisons)
    inputs = parity.suite_inputs(model, "random, batch 7")
    assert parity.first_divergence(model, file, inputs) is None


@pytest.mark.parametrize("fault", FAULTS, ids=lambda fault: fault.__name__)
def test_a_planted_fault_is_named(model, file, fault):
    fault(file)
    comparisons = parity.compare(model, file)
    assert not all(comparison.passed for comparison in comparisons)
    worst = max(comparisons, key=lambda comparison: comparison.max_abs)
    inputs = parity.suite_inputs(model, worst.suite)
    assert parity.first_divergence(model, file, inputs) == FAULTS[fault]


def test_a_frozen_batch_fails_at_the_batches_it_does_not_fit(model, file):
    change(file, "class_capsules/reshape/shape", lambda s: np.array([1, *s[1:]], s.dtype))
    by_suite = {comparison.suite: comparison for comparison in parity.compare(model, file)}
    assert by_suite["random, batch 1"].passed
    assert not by_suite["random, batch 2"].passed and by_suite["random, batch 2"].error


def test_a_file_that_does_not_load_is_a_failed_conversion(model, file):
    file.graph.node[0].input[0] = "nowhere"
    with pytest.raises(export.ConversionError, match="cannot load"):
        parity.compare(model, file)


def compare(expected, found):
    arrays = [np.asarray(array, "float32") for array in (expected, found)]
    return parity._compare("scores", "", *arrays, tolerance=1e-5)


def test_metrics():
    comparison = compare([[3.0, 4.0], [0.0, 0.0]], [[3.0, 4.004], [0.0, 0.0]])
    assert comparison.max_abs == pytest.approx(4e-3, rel=1e-3)
    assert comparison.rmse == pytest.approx(2e-3, rel=1e-3)
    assert comparison.scale == 4.0 and not comparison.passed
    cosine = (9 + 4 * 4.004) / (5 * np.hypot(3, 4.004))
    assert comparison.cosine == pytest.approx(cosine, abs=1e-7)


def test_nan_and_infinity_must_stand_in_the_same_places():
    nan, infinity = float("nan"), float("inf")
    assert compare([[nan, 1.0], [infinity, 2.0]], [[nan, 1.0], [infinity, 2.0]]).passed
    for wrong in ([[nan, 1.0]], [[1.0, nan]], [[infinity, 1.0]]):
        assert not compare([[0.5, 1.0]], wrong).nan_equal
    assert not compare([[infinity, 1.0]], [[-infinity, 1.0]]).passed
    assert not compare([[1.0, 2.0]], [[1.0]]).passed


def test_labels_count_where_the_model_can_tell_them_apart():
    assert compare([[0.5, 0.5 + 9e-6]], [[0.5 + 9e-6, 0.5]]).label_flips == 0
    flipped = compare([[0.2, 0.9], [0.9, 0.1]], [[0.9, 0.2], [0.9, 0.1]])
    assert flipped.label_flips == 1 and not flipped.passed


def test_whole_number_inputs():
    words = keras.Input((5,), dtype="int32", name="words")
    x = keras.layers.Embedding(9, 4)(words)
    model = keras.Model(words, keras.layers.Dense(2)(keras.layers.Flatten()(x)))
    for _, (inputs,) in parity._suites(model, (0.0, 1.0), {}):
        assert inputs.dtype == "int32" and set(np.unique(inputs)) <= {0, 1}


def test_report_of_a_failure():
    failed = parity._failure("scores", "random, batch 2", 2, "no such shape")
    report = export.report.ExportReport(
        source="model.keras",
        target="model.onnx",
        parameters=1,
        backend="jax",
        tolerance=1e-5,
        comparisons=[vars(failed)],
        file={"nodes": 1, "bytes": 1, "opset": 17, "ir_version": 8, "sha256": "0"}
        | {"inputs": ["image"], "outputs": ["scores"]},
        versions={"onnxruntime": "1"},
        first_divergence="dense",
    )
    assert not report.passed
    text = report.to_text()
    assert "FAILED: no such shape" in text and "First layer that differs: dense." in text
    assert '"verdict": "failed"' in report.to_json() and "Infinity" not in report.to_json()


def test_names_of_several_outputs():
    inputs = keras.Input((4,), name="x")
    twice = keras.layers.Dense(2, name="same")
    listed = keras.Model(inputs, [twice(inputs), keras.layers.Dense(3, name="other")(inputs)])
    assert source.output_names(listed) == ["same", "other"]
    shared = keras.Model([inputs, other := keras.Input((4,))], [twice(inputs), twice(other)])
    assert source.output_names(shared) == ["same", "same_1"]
    named = keras.Model(inputs, {"b": twice(inputs), "a": inputs})
    assert source.output_names(named) == ["a", "b"]


def test_rounding_that_the_model_itself_magnifies_is_allowed_and_said():
    """At huge inputs a sigmoid far from saturation turns the last bit into more than 1e-5."""
    expected, found = np.full((1, 3), 0.5, "float32"), np.full((1, 3), 0.5 + 3e-5, "float32")
    assert not parity._compare("y", "", expected, found, 1e-5).passed
    allowed = parity._compare("y", "", expected, found, 1e-5, sensitivity=1e-5)
    assert allowed.passed and allowed.allowed == pytest.approx(8e-5)
    far = np.full((1, 3), 0.5 + 3e-3, "float32")
    assert not parity._compare("y", "", expected, far, 1e-5, sensitivity=1.0).passed
    assert "last bit of the inputs moves the model by 1.0e-05" in export.report.in_words(
        vars(allowed)
    )
