"""What counts as equal, and where the tolerance comes from."""

import keras
import numpy as np
import onnx
import pytest

import export
from export.compare import outputs
from export.compare.outputs import compare_arrays
from export.compare.run import run_keras
from export.compare.suites import REAL, Suite, suite_set
from export.results import Kind, SuiteKey


def compared(model, file, suites, expected):
    """Compares a model that was not measured in float64."""
    cases = outputs.cases_of(model, suites, expected, "not measured")
    return outputs.compare_cases(model, file, cases)


def compare(expected, found, rounding=1.25e-6):
    arrays = [np.asarray(array, "float32") for array in (expected, found)]
    return compare_arrays("scores", SuiteKey(Kind.RANDOM, 2, 2), *arrays, rounding)


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


def test_a_file_that_does_not_load_is_a_failed_conversion(saved_capsnet, exported_capsnet):
    model, file = keras.models.load_model(saved_capsnet), onnx.load(exported_capsnet[0])
    file.graph.node[0].input[0] = "nowhere"
    with pytest.raises(export.ConversionError, match="cannot load"):
        compared(model, file, [], [])


def test_a_file_that_gives_another_result_each_time_fails():
    """Random numbers in the graph: finite, of the right shape, and never the same."""
    inputs = keras.Input((4,), name="x")
    model = keras.Model(inputs, keras.layers.Activation("linear", name="y")(inputs))
    node = onnx.helper.make_node("RandomUniformLike", ["x"], ["y"], low=0.0, high=1e-9)
    values = [
        onnx.helper.make_tensor_value_info(name, onnx.TensorProto.FLOAT, ["batch", 4])
        for name in "xy"
    ]
    graph = onnx.helper.make_graph([node], "random", values[:1], values[1:])
    opset = [onnx.helper.make_opsetid("", 17)]
    file = onnx.helper.make_model(graph, opset_imports=opset, ir_version=8)
    zeros = Suite(Kind.ZEROS, [np.zeros((2, 4), "float32")], 32)
    (comparison,) = compared(model, file, [zeros], [zeros.inputs])
    assert not comparison.passed and "two runs" in comparison.error


def test_of_many_real_inputs_some_are_compared_in_each_way_and_the_scores_of_all(
    saved_capsnet, exported_capsnet, generator
):
    model, file = keras.models.load_model(saved_capsnet), onnx.load(exported_capsnet[0])
    data = {"image": generator.random((300, 12, 12, 1), dtype="float32")}
    (real,), (again,) = (
        [suite for suite in suite_set(model, data=data).ordinary if suite.kind is Kind.REAL]
        for _ in range(2)
    )
    np.testing.assert_array_equal(real.inputs[0], again.inputs[0])
    rows = {image.tobytes() for image in data["image"]}
    drawn = {image.tobytes() for image in real.inputs[0]}
    assert len(drawn) == REAL and drawn < rows
    assert suite_set(model, data={"image": data["image"][:REAL]}).all_real is None
    whole = suite_set(model, data=data).all_real
    expected = [run_keras(model, real)]
    comparisons = compared(model, file, [real], expected)
    found = outputs.compare_scores(model, file, whole, comparisons)
    assert (found.output, found.suite) == ("scores", SuiteKey(Kind.ALL_REAL, 32, 300))
    assert found.passed and found.max_abs > 0
    right = run_keras(model, whole)[0]
    for fault in (1e-3, np.nan):
        wrong = right.copy()
        wrong[290, 2] += fault
        found = compare_arrays("scores", whole.key, right, wrong, 1e-6)
        assert not found.passed and found.sample == 290
    np.testing.assert_array_equal(whole.around(290).inputs[0], data["image"][288:300])
