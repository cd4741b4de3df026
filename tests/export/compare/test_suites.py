"""The inputs that a model and its file are compared on."""

import dataclasses

import keras
import mislabelled
import numpy as np
import onnx
import pytest
from conftest import once

import export
from export import pipeline
from export.compare import suites
from export.compare.suites import suite_set
from export.results import Kind
from export.verify import read_seal, seal_path


def test_whole_number_inputs():
    words = keras.Input((5,), dtype="int32", name="words")
    x = keras.layers.Embedding(9, 4)(words)
    model = keras.Model(words, keras.layers.Dense(2)(keras.layers.Flatten()(x)))
    found = set()
    for suite in suite_set(model).ordinary:
        (inputs,) = suite.inputs
        assert inputs.dtype == "int32"
        found |= set(np.unique(inputs))
    assert found == set(range(9))


def test_uint8_inputs_are_compared_on_pixels():
    model = keras.Sequential([keras.Input((4, 4, 3), dtype="uint8"), keras.layers.Flatten()])
    inputs = {
        (suite.kind, suite.batch): suite.inputs[0] for suite in suite_set(model, (0, 1)).ordinary
    }
    assert {array.dtype for array in inputs.values()} == {np.dtype("uint8")}
    assert len(np.unique(inputs[Kind.RANDOM, 32])) > 200
    assert (inputs[Kind.ZEROS, 32] == 0).all() and (inputs[Kind.CONSTANT, 32] == 255).all()
    assert {kind for kind, _ in inputs} == {Kind.RANDOM, Kind.ZEROS, Kind.CONSTANT}


@once
@pytest.mark.usefixtures("warm_conversions")
@pytest.mark.parametrize("precision", ["float32", "float16"])
def test_the_names_of_suites_decide_nothing(tmp_path, monkeypatch, precision):
    """Every suite gets the name of another one, here and in the conversion's process."""
    keras.utils.set_random_seed(0)
    x = keras.Input((4,), name="x")
    hidden = mislabelled.Mislabelled()(keras.layers.Dense(5, activation="tanh", name="hidden")(x))
    model = keras.Model(x, keras.layers.Dense(3, name="scores")(hidden))
    data = {"x": np.random.default_rng(0).uniform(size=(300, 4)), "labels": np.arange(300) % 3}

    def exported(name):
        path = tmp_path / f"{name}.onnx"
        report = export.export_onnx(model, path, data=data, precision=precision, max_drop=100)
        seal, arrays = read_seal(seal_path(path).read_bytes())
        names = [suite.pop("name") for suite in seal["suites"]]
        values = {name: array.tobytes() for name, array in arrays.items()}
        reduced = report.precision.comparisons if report.precision else []
        comparisons = [dataclasses.asdict(entry) for entry in (*report.comparisons, *reduced)]
        return names, (path.read_bytes(), seal, values, comparisons, report.file, report.layers)

    right, expected = exported("right")
    monkeypatch.setenv(mislabelled.LABEL, "tiny, x 1e-30")
    wrong, found = exported("wrong")
    assert len(set(right)) == 5 and wrong == ["tiny, x 1e-30"] * 5
    for one, other in zip(found, expected, strict=True):
        assert one == other


def test_every_row_of_a_table_is_tried():
    words = keras.Input((6,), name="words")  # Keras' default type.
    x = keras.layers.Embedding(500, 3)(words)
    model = keras.Model(words, keras.layers.Flatten()(x))
    suites = {suite.kind: suite for suite in suite_set(model).ordinary}
    assert set(np.unique(suites[Kind.EVERY_ROW].inputs[0])) == set(range(500))
    assert Kind.HUGE not in suites


def test_inputs_of_both_signs():
    x = keras.Input((4,), name="x")
    n = keras.Input((4,), dtype="int32", name="n")
    model = keras.Model([x, n], [keras.layers.Dense(2)(x), keras.ops.mod(n, 7)])
    (signed,) = [suite for suite in suite_set(model).ordinary if suite.kind is Kind.SIGNED]
    assert all(array.min() < 0 < array.max() for array in signed.inputs)
    table = keras.ops.convert_to_tensor(np.arange(3))
    looked_up = keras.Model(n, keras.layers.Embedding(3, 2)(keras.ops.take(table, n)))
    for suite in suite_set(looked_up).ordinary:
        assert suite.inputs[0].min() >= 0 or suite.kind is Kind.SIGNED


def faulty_embedding(file):
    for tensor in file.graph.initializer:
        array = onnx.numpy_helper.to_array(tensor)
        if array.shape == (500, 3):
            array = np.where(np.arange(500)[:, None] < 2, array, 0.0).astype("float32")
            tensor.CopyFrom(onnx.numpy_helper.from_array(array, tensor.name))


def faulty_slope(file):
    for node in file.graph.node:
        if node.op_type == "LeakyRelu":
            node.attribute[0].f = 0.0


@once
@pytest.mark.usefixtures("warm_conversions")
@pytest.mark.parametrize("large", [False, True])
@pytest.mark.parametrize("fault", [faulty_embedding, faulty_slope])
def test_faults_that_ordinary_inputs_do_not_reach(tmp_path, monkeypatch, fault, large):
    keras.utils.set_random_seed(0)
    if large:  # Compared on fewer samples.
        monkeypatch.setattr(suites, "_LARGE", 0)
    if fault is faulty_slope:
        x = keras.Input((4,), name="x")
        y = keras.layers.LeakyReLU(0.3)(x)
    else:
        x = keras.Input((6,), name="x")
        y = keras.layers.Flatten()(keras.layers.Embedding(500, 3)(x))
    model = keras.Model(x, keras.layers.Dense(2)(y))
    convert = pipeline.convert

    def convert_wrongly(*arguments):
        conversion = convert(*arguments)
        fault(conversion.raw)
        return conversion

    monkeypatch.setattr(pipeline, "convert", convert_wrongly)
    with pytest.raises(export.ParityError):
        export.export_onnx(model, tmp_path / "model.onnx")
