"""What counts as equal, and where the tolerance comes from."""

import custom_layers
import keras
import numpy as np
import onnx
import pytest
from conftest import once

import export
from export import parity, reference, source, suites


def compare(expected, found, rounding=None):
    arrays = [np.asarray(array, "float32") for array in (expected, found)]
    return parity.compare_arrays("scores", "", *arrays, rounding)


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


@pytest.mark.parametrize(
    "rounding, scale, allowed",
    [
        (1e-6, 1.0, 8e-6),  # Measured.
        (1e-9, 1.0, 1e-6),  # The model happens not to round.
        (1e-9, 50.0, 5e-5),
        (1.0, 1.0, 1e-4),  # However much it rounds.
        (1.0, 3.0, 3e-4),
        (None, 3.0, 3e-5),  # Nothing is known.
    ],
)
def test_what_is_allowed(rounding, scale, allowed):
    found = compare([[scale, 0.0]], [[scale, 0.9 * allowed]], rounding)
    assert found.allowed == pytest.approx(allowed) and found.passed
    assert not compare([[scale, 0.0]], [[scale, 1.1 * allowed]], rounding).passed


@once
def test_references_are_what_float64_gives(generator):
    """A layer that derives values from its weights, and a dense one, against numpy."""
    inputs = keras.Input((4, 4, 2), name="image")
    normalization = keras.layers.Normalization()
    normalization.adapt(generator.normal(2, 3, size=(8, 4, 4, 2)).astype("float32"))
    x = keras.layers.Dense(3, activation="tanh", name="dense")(normalization(inputs))
    model = keras.Model(inputs, x)
    found = suites.suites(model)
    twin = reference.float64_outputs(model, found)
    mean, variance, _, kernel, bias = (w.astype("float64") for w in model.get_weights())
    for suite, (output,) in zip(found, twin, strict=True):
        assert output.dtype == "float64"
        normalized = (suite.inputs[0].astype("float64") - mean) / np.sqrt(variance)
        expected = np.tanh(normalized @ kernel + bias)
        np.testing.assert_allclose(output, expected, rtol=0, atol=1e-14)


@once
def test_a_twin_that_computes_something_else_is_none():
    layer = custom_layers.SavesLess(name="less")
    inputs = keras.Input((4,))
    model = keras.Model(inputs, layer(inputs))
    assert isinstance(reference.float64_outputs(model, suites.suites(model)), list)
    layer.factor = 2.0
    found = reference.float64_outputs(model, suites.suites(model))
    assert "computes something else" in found


@once
def test_a_model_that_does_not_run_in_float64_gets_the_fixed_tolerance(tmp_path):
    inputs = keras.Input((4,), name="x")
    model = keras.Model(inputs, custom_layers.OnlyFloat32(name="only")(inputs))
    report = export.export_onnx(model, tmp_path / "model.onnx")
    assert {entry["rounding"] for entry in report.comparisons} == {None}
    assert {entry["allowed"] / entry["scale"] for entry in report.comparisons} == {1e-5}
    assert "does not run in float64" in report.to_text()


def test_rounding_is_that_of_the_suite_or_of_the_random_ones():
    model = keras.Sequential([keras.Input((1,)), keras.layers.Identity()])
    names = ["random, batch 1", "random, batch 7", "huge"]
    found = [suites.Suite(name, [np.full((1, 1), 3, "float32")], 1) for name in names]
    expected = [[np.array([[value]], "float32")] for value in (1.0, 2.0, 3.0)]
    references = [[np.array([[value]])] for value in (1.5, 2.125, 13.0)]
    roundings = parity.roundings(model, found, expected, references)
    assert roundings == [[0.5], [0.5], [pytest.approx(10.0)]]


def test_huge_inputs_may_be_right_by_chance():
    """A step function that rounds nothing, at its step: the next number is on the other side."""
    model = keras.Sequential([keras.Input((64,)), keras.layers.Lambda(lambda x: x > 1e4)])
    names = ["random, batch 2", "huge, x 1e4"]
    found = [suites.Suite(name, [np.full((2, 64), 1e4, "float32")], 2) for name in names]
    expected = [suites.run_keras(model, suite) for suite in found]
    assert not expected[0][0].any()
    references = [[output.astype("float64") for output in outputs] for outputs in expected]
    assert parity.roundings(model, found, expected, references) == [[0.0], [1.0]]


def test_whole_number_inputs():
    words = keras.Input((5,), dtype="int32", name="words")
    x = keras.layers.Embedding(9, 4)(words)
    model = keras.Model(words, keras.layers.Dense(2)(keras.layers.Flatten()(x)))
    for suite in suites.suites(model):
        (inputs,) = suite.inputs
        assert inputs.dtype == "int32" and set(np.unique(inputs)) <= {0, 1}


def test_suites_and_outputs_survive_storage(saved_capsnet, tmp_path):
    model = keras.models.load_model(saved_capsnet)
    stored = suites.suites(model)
    suites.save(tmp_path / "suites", stored)
    for before, after in zip(stored, suites.load(tmp_path / "suites"), strict=True):
        assert (before.name, before.batch) == (after.name, after.batch)
        np.testing.assert_array_equal(before.inputs[0], after.inputs[0])
    outputs = [[np.full(12, 10 * i + j) for j in range(12)] for i in range(12)]
    suites.save_outputs(tmp_path / "outputs", outputs)
    assert str(suites.load_outputs(tmp_path / "outputs")) == str(outputs)
    suites.save_outputs(tmp_path / "outputs", "no float64")
    assert suites.load_outputs(tmp_path / "outputs") == "no float64"


def test_a_file_that_does_not_load_is_a_failed_conversion(saved_capsnet, exported_capsnet):
    model, file = keras.models.load_model(saved_capsnet), onnx.load(exported_capsnet[0])
    file.graph.node[0].input[0] = "nowhere"
    with pytest.raises(export.ConversionError, match="cannot load"):
        parity.compare(model, file, suites.suites(model)[:1], "not measured")


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
    zeros = suites.Suite("zeros", [np.zeros((2, 4), "float32")], 32)
    (comparison,) = parity.compare(model, file, [zeros], "not measured")
    assert not comparison.passed and "two runs" in comparison.error


def test_names_of_several_outputs():
    inputs = keras.Input((4,), name="x")
    twice = keras.layers.Dense(2, name="same")
    listed = keras.Model(inputs, [twice(inputs), keras.layers.Dense(3, name="other")(inputs)])
    assert source.output_names(listed) == ["same", "other"]
    shared = keras.Model([inputs, other := keras.Input((4,))], [twice(inputs), twice(other)])
    assert source.output_names(shared) == ["same", "same_1"]
    named = keras.Model(inputs, {"b": twice(inputs), "a": inputs})
    assert source.output_names(named) == ["a", "b"]


def test_of_many_real_inputs_some_are_compared_in_each_way_and_the_scores_of_all(
    saved_capsnet, exported_capsnet, generator
):
    model, file = keras.models.load_model(saved_capsnet), onnx.load(exported_capsnet[0])
    data = {"image": generator.random((300, 12, 12, 1), dtype="float32")}
    (real,) = [suite for suite in suites.suites(model, data=data) if suite.name == "real"]
    (again,) = [suite for suite in suites.suites(model, data=data) if suite.name == "real"]
    np.testing.assert_array_equal(real.inputs[0], again.inputs[0])
    rows = {image.tobytes() for image in data["image"]}
    drawn = {image.tobytes() for image in real.inputs[0]}
    assert len(drawn) == suites.REAL and drawn < rows
    assert not suites.all_real(model, {"image": data["image"][: suites.REAL]})
    (whole,) = suites.all_real(model, data)
    comparisons = parity.compare(model, file, [real], "not measured")
    found = parity.compare_scores(model, file, whole, comparisons)
    assert (found.output, found.suite, found.samples) == ("scores", "real, all", 300)
    assert found.passed and found.max_abs > 0
    right = parity.run_keras(model, whole)[0]
    for fault in (1e-3, np.nan):
        wrong = right.copy()
        wrong[290, 2] += fault
        found = parity.compare_arrays("scores", whole.name, right, wrong, None)
        assert not found.passed and found.sample == 290
    np.testing.assert_array_equal(whole.around(290).inputs[0], data["image"][288:300])
