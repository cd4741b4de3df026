"""Faults planted on the way of an export: each must stop it, and be laid at the right door."""

from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace

import keras
import numpy as np
import onnx
import pytest
from conftest import once
from custom_layers import TrainingInConversion
from onnx import numpy_helper

import export
from export import pipeline
from export.admit import load
from export.admit.prepare import Prepared
from export.compare import locate, outputs
from export.compare.run import run_keras
from export.compare.suites import suite_set
from export.convert import start
from export.graph import canonical
from export.results import Kind

pytestmark = [once, pytest.mark.usefixtures("warm_conversions")]


def change(file, name, function):
    """Replaces a weight of the graph."""
    (tensor,) = [tensor for tensor in file.graph.initializer if tensor.name == name]
    tensor.CopyFrom(numpy_helper.from_array(function(numpy_helper.to_array(tensor)), name))


def transpose_kernel(file):
    change(file, "class_capsules/matmul/B", lambda w: np.ascontiguousarray(w[:, ::-1]))


def shift_bias(file):
    change(file, "convolution/conv/B", lambda b: b + np.float32(1e-4))


def wrong_epsilon(file):
    change(file, "primary_capsules/add/B", lambda epsilon: epsilon * np.float32(1e11))


def softmax_over_children(file):
    for node in file.graph.node:
        if node.op_type == "Softmax":
            node.attribute[0].i = 2


def softmax_over_children_in_the_last_iteration(file):
    [node for node in file.graph.node if node.op_type == "Softmax"][-1].attribute[0].i = 2


def wrong_epsilon_in_an_iteration(file):
    wrong = numpy_helper.from_array(np.float32(1e-2), "wrong")
    file.graph.initializer.append(wrong)
    (node,) = [node for node in file.graph.node if node.name == "class_capsules/routing_2/add"]
    node.input[1] = "wrong"


def frozen_batch(file):
    change(file, "class_capsules/reshape/shape", lambda s: np.array([1, *s[1:]], s.dtype))


FAULTS = {
    transpose_kernel: "class_capsules",
    shift_bias: "convolution",
    wrong_epsilon: "primary_capsules",
    softmax_over_children: "class_capsules/routing_2",
    softmax_over_children_in_the_last_iteration: "class_capsules/routing_3",
    wrong_epsilon_in_an_iteration: "class_capsules/routing_2",
    frozen_batch: "class_capsules",
}


@pytest.fixture(scope="module")
def converted(saved_capsnet, tmp_path_factory):
    """What the converter gives for the small CapsNet, to spare it being asked for each fault."""
    folder = tmp_path_factory.mktemp("unpacked")
    load.unpack(saved_capsnet, folder)
    model = keras.models.load_model(saved_capsnet)
    prepared = Prepared("model.keras", model, folder)
    with ThreadPoolExecutor(1) as pool:
        return start.convert(pool, prepared, 17, suite_set(model).compared)


def copy(file):
    return onnx.load_from_string(file.SerializeToString())


@pytest.fixture
def plant(monkeypatch, converted):
    """Returns a function that lets a fault change the file between conversion and comparison."""

    def convert_once(pool, prepared, opset, suites, *options):
        if len(suites) != len(converted.references):
            return start.convert(pool, prepared, opset, suites, *options)
        return replace(converted, raw=copy(converted.raw))

    monkeypatch.setattr(pipeline, "convert", convert_once)

    def plant(fault):
        right = canonical.to_canonical

        def wrong(*arguments):
            file, names = right(*arguments)
            fault(file)
            return file, names

        monkeypatch.setattr(pipeline, "to_canonical", wrong)

    return plant


@pytest.mark.parametrize("fault", FAULTS, ids=lambda fault: fault.__name__)
def test_a_planted_fault_is_named(plant, saved_capsnet, tmp_path, fault):
    plant(fault)
    target = tmp_path / "model.onnx"
    with pytest.raises(export.ParityError) as failure:
        export.export_onnx(saved_capsnet, target)
    assert failure.value.exit_code == 1 and not target.exists()
    report = failure.value.report
    assert report.first_divergence == FAULTS[fault]
    assert f"first difference: {FAULTS[fault]}" in str(failure.value)


def test_local_and_inherited_errors_are_told_apart(plant, saved_capsnet, tmp_path):
    plant(shift_bias)
    with pytest.raises(export.ParityError) as failure:
        export.export_onnx(saved_capsnet, tmp_path / "model.onnx")
    layers = {entry.layer: entry for entry in failure.value.report.layers}
    assert layers["convolution"].local > layers["convolution"].allowed
    for name in ("primary_capsules", "class_capsules", "scores"):
        inherited = layers[name]
        assert inherited.local is None or inherited.local <= inherited.allowed
    assert layers["primary_capsules"].max_abs > layers["primary_capsules"].allowed
    assert layers["primary_capsules"].local is not None


def test_the_worst_inputs_show_the_fault_again(plant, saved_capsnet, tmp_path):
    plant(shift_bias)
    with pytest.raises(export.ParityError) as first:
        export.export_onnx(saved_capsnet, tmp_path / "model.onnx")
    stored = tmp_path / "model.worst.npz"
    assert f"--data {stored}" in str(first.value)
    with np.load(stored) as data:
        inputs = dict(data)
    with pytest.raises(export.ParityError) as again:
        export.export_onnx(saved_capsnet, tmp_path / "model.onnx", data=inputs)
    worst = first.value.report.worst.max_abs
    (real,) = [c for c in again.value.report.comparisons if c.suite.kind is Kind.REAL]
    assert real.max_abs == pytest.approx(worst, rel=1e-3)


def test_nothing_is_named_in_the_right_file(saved_capsnet, converted):
    model = keras.models.load_model(saved_capsnet)
    inputs = suite_set(model).compared
    axes = {"image": model.input.shape}, {"scores": model.output.shape}
    names = {layer.name for layer in model.layers}
    file, raw_names = canonical.to_canonical(copy(converted.raw), *axes, names, {})
    expected = [run_keras(model, suite) for suite in inputs]
    cases = outputs.cases_of(model, inputs, expected, converted.references)
    comparisons = outputs.compare_cases(model, file, cases)
    assert all(entry.passed for entry in comparisons)
    errors = locate.layer_errors(model, file, inputs[2], local=True)
    assert {error.layer for error in errors} == names - {"image"}
    assert not any(error.differs for error in errors)
    values = locate.all_values(file, model, inputs[2])
    assert locate.first_divergence(errors, file, values, raw_names, None) is None


def test_truth_values_are_compared_as_numbers():
    flags = np.array([[True, False]])
    assert locate._closest(flags, {"right": flags, "wrong": ~flags}) == ("right", 0.0)
    assert locate._closest(flags, {"wrong": ~flags}) == ("wrong", 1.0)


def test_swapped_outputs(tmp_path, monkeypatch):
    x = keras.Input((4,), name="x")
    outputs = {name: keras.layers.Dense(3, name=name)(x) for name in ("left", "right")}
    model = keras.Model(x, outputs)

    def wrong(*arguments, right=canonical.to_canonical):
        file, names = right(*arguments)
        swapped = {"left": "right", "right": "left"}
        for node in file.graph.node:
            node.output[:] = [swapped.get(name, name) for name in node.output]
        return file, names

    monkeypatch.setattr(pipeline, "to_canonical", wrong)
    with pytest.raises(export.ParityError) as failure:
        export.export_onnx(model, tmp_path / "model.onnx")
    assert failure.value.report.first_divergence == "left"


def test_a_normalization_left_in_training_mode(tmp_path):
    x = inputs = keras.Input((6, 6, 2), name="image")
    x = keras.layers.Conv2D(4, 3, activation="relu", name="convolution")(x)
    x = TrainingInConversion(name="normalization")(x)
    model = keras.Model(inputs, keras.layers.Flatten(name="flat")(x))
    with pytest.raises(export.ParityError) as failure:
        export.export_onnx(model, tmp_path / "model.onnx")
    assert failure.value.report.first_divergence == "normalization"
