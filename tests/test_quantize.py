"""float16 and int8: what is reduced, what stays in float32, and who decides whether it is good."""

import hashlib
import json
from types import SimpleNamespace

import keras
import numpy as np
import onnx
import onnxruntime
import pytest
from conftest import command_line, once, run_python
from onnx import TensorProto, helper, numpy_helper

import export
from export import parity, precision, quantize, suites, tidy
from export.html import to_html
from export.verify import verify

pytestmark = once


@pytest.fixture(scope="module")
def file(exported_capsnet):
    return onnx.load(exported_capsnet[0])


@pytest.fixture(scope="module")
def batches():
    generator = np.random.default_rng(0)
    images = generator.uniform(size=(8, 12, 12, 1)).astype("float32")
    return [{"image": images}, {"image": images[:2] * 1e4}]


def run(file, inputs, level="ORT_ENABLE_ALL"):
    return parity.session(file, level, 1).run(None, inputs)[0]


def types_of(file):
    """The element type of each value, weights too, by name."""
    graph = onnx.shape_inference.infer_shapes(file, strict_mode=True).graph
    values = [*graph.value_info, *graph.input, *graph.output]
    types = {value.name: value.type.tensor_type.elem_type for value in values}
    return types | {tensor.name: tensor.data_type for tensor in graph.initializer}


def graph_of(nodes, weights, shape, rank):
    """A file from `x` of the shape of a sample to `y`."""
    values = [
        helper.make_tensor_value_info("x", TensorProto.FLOAT, ["batch", *shape]),
        helper.make_tensor_value_info("y", TensorProto.FLOAT, ["batch", *[None] * (rank - 1)]),
    ]
    tensors = [numpy_helper.from_array(array, name) for name, array in weights.items()]
    graph = helper.make_graph(nodes, "model", values[:1], values[1:], tensors)
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)])
    model.ir_version = 8
    return model


def test_float16_leaves_routing_and_squash_in_float32(file, batches):
    reduced = quantize.to_float16(file, batches, {"precision": "float16"})
    types = types_of(reduced)
    assert types["image"] == types["scores"] == TensorProto.FLOAT
    for node in reduced.graph.node:
        if node.op_type in ("Sqrt", "Div", "Softmax", "ReduceSum"):
            assert {types[name] for name in (*node.input[:1], *node.output)} == {TensorProto.FLOAT}
    assert types["class_capsules/routing_2/softmax"] == TensorProto.FLOAT
    for name in ("convolution/conv", "primary_capsules/convolution/conv", "class_capsules/matmul"):
        assert types[name] == TensorProto.FLOAT16
    assert len(reduced.SerializeToString()) < 0.65 * len(file.SerializeToString())
    assert {entry.key: entry.value for entry in reduced.metadata_props} == {"precision": "float16"}


def test_float16_computes_the_same_and_is_finite_on_extremes(file, batches):
    reduced = quantize.to_float16(file, batches, {})
    images = batches[0]["image"]
    for factor in (1, 1e4, 1e-8, 1e-30, 0):
        inputs = {"image": images * np.float32(factor)}
        for level in ("ORT_DISABLE_ALL", "ORT_ENABLE_ALL"):
            np.testing.assert_allclose(run(reduced, inputs, level), run(file, inputs), atol=2e-3)


def test_float16_casts_no_value_there_and_back(file, batches):
    graph = quantize.to_float16(file, batches, {}).graph
    cast = {node.output[0] for node in graph.node if node.op_type == "Cast"}
    assert not [node for node in graph.node if node.op_type == "Cast" and node.input[0] in cast]
    assert len({node.name for node in graph.node}) == len(graph.node)
    assert "image/cast" in {node.name for node in graph.node}


def test_what_overflows_float16_is_computed_in_float32(generator):
    weights = generator.uniform(50, 100, size=(40, 30)).astype("float32")
    nodes = [helper.make_node("MatMul", ["x", "w"], ["y"], "dense/matmul")]
    file = graph_of(nodes, {"w": weights}, [40], 2)
    x = generator.uniform(1, 100, size=(2, 40)).astype("float32")
    assert (x @ weights).min() > np.finfo("float16").max
    reduced = quantize.to_float16(file, [{"x": x}], {})
    assert types_of(reduced)["y"] == TensorProto.FLOAT
    assert [tensor.data_type for tensor in reduced.graph.initializer] == [TensorProto.FLOAT16]
    expected = x.astype("float64") @ weights.astype("float64")
    np.testing.assert_allclose(run(reduced, {"x": x}), expected, rtol=5e-4)


def test_int8_quantizes_by_channel_and_leaves_capsules_alone(file, batches):
    reduced = quantize.to_int8(file, batches[:1], {})
    weights = {tensor.name: tensor for tensor in reduced.graph.initializer}
    nodes = {node.name: node for node in reduced.graph.node}
    for name in ("convolution/conv", "primary_capsules/convolution/conv"):
        (dequantized,) = [n for n in reduced.graph.node if n.output[0] == nodes[name].input[1]]
        quantized, scale = (weights[value] for value in dequantized.input[:2])
        assert quantized.data_type == TensorProto.INT8 and list(scale.dims) == quantized.dims[:1]
        assert np.abs(numpy_helper.to_array(quantized)).max() <= 64  # Seven bits.
    assert weights["class_capsules/matmul/B"].data_type == TensorProto.FLOAT
    types = types_of(reduced)
    for node in file.graph.node:
        if node.name.startswith(("class_capsules/", "scores/")):
            assert types[node.output[0]] == TensorProto.FLOAT
            assert nodes[node.name].input[1:] == node.input[1:]
    for level in ("ORT_DISABLE_ALL", "ORT_ENABLE_ALL"):
        found = run(reduced, batches[0], level)
        np.testing.assert_allclose(found, run(file, batches[0]), atol=0.05)


def test_int8_keeps_the_bias_of_a_channel_with_hardly_any_weight(generator):
    """Its scale is tiny; as int32 multiples of that, the bias would be cut off."""
    weights = generator.normal(size=(3, 2, 3, 3)).astype("float32")
    weights[1] *= 1e-9
    bias = np.array([0.5, 5.0, -0.5], "float32")
    nodes = [helper.make_node("Conv", ["x", "w", "b"], ["y"], "convolution/conv")]
    file = graph_of(nodes, {"w": weights, "b": bias}, [2, 6, 6], 4)
    x = generator.uniform(size=(16, 2, 6, 6)).astype("float32")
    reduced = quantize.to_int8(file, [{"x": x}], {})
    windows = np.lib.stride_tricks.sliding_window_view(x.astype("float64"), (3, 3), axis=(2, 3))
    expected = np.einsum("bchwij,ocij->bohw", windows, weights) + bias[:, None, None]
    for level in ("ORT_DISABLE_ALL", "ORT_ENABLE_ALL"):
        np.testing.assert_allclose(run(reduced, {"x": x}, level), expected, atol=0.2)
        np.testing.assert_allclose(run(reduced, {"x": x}, level)[:, 1], 5.0, atol=0.05)


def test_int8_needs_something_to_quantize():
    nodes = [helper.make_node("Relu", ["x"], ["y"], "activation/relu")]
    with pytest.raises(export.UsageError, match="convolution"):
        quantize.to_int8(graph_of(nodes, {}, [4], 2), [], {})


def test_one_file_whatever_the_process(exported_capsnet, file, batches, tmp_path):
    np.save(tmp_path / "images.npy", batches[0]["image"])
    code = (
        "import sys, hashlib, numpy as np, onnx; from export import quantize, tidy\n"
        "file, x = onnx.load(sys.argv[1]), np.load(sys.argv[2])\n"
        "for convert in (quantize.to_float16, quantize.to_int8):\n"
        "    reduced = convert(file, [{'image': x}], {'b': '1', 'a': '2'})\n"
        "    print(hashlib.sha256(tidy.serialize(reduced)).hexdigest())\n"
    )
    there = run_python(
        *("-c", code, exported_capsnet[0], tmp_path / "images.npy"), env={"PYTHONHASHSEED": "1"}
    ).stdout.split()
    here = [
        hashlib.sha256(tidy.serialize(convert(file, batches[:1], {"a": "2", "b": "1"}))).hexdigest()
        for convert in (quantize.to_float16, quantize.to_int8)
    ]
    assert here == there and len(set(here)) == 2


def classifier(classes=3):
    inputs = keras.Input((4,), name="x")
    return keras.Model(inputs, keras.layers.Dense(classes, name="scores")(inputs))


def test_samples_are_the_data_with_labels_without_or_random_inputs():
    x = np.zeros((5, 4))
    labelled = precision.samples(classifier(), {"x": x, "labels": np.arange(5) % 3}, (0, 1))
    assert labelled.truth.tolist() == [0, 1, 2, 0, 1] and "accuracy on the 5" in labelled.criterion
    one_hot = precision.samples(
        classifier(), {"x": x, "labels": np.eye(3)[[2, 1, 0, 1, 2]]}, (0, 1)
    )
    assert one_hot.truth.tolist() == [2, 1, 0, 1, 2]
    assert precision.samples(classifier(), {"x": x}, (0, 1)).truth is None
    parts = precision.samples(classifier(), {"x": x + np.arange(5)[:, None]}, (0, 1), True)
    assert [len(array) for (array,) in (parts.calibration, parts.inputs)] == [2, 3]
    together = np.concatenate([parts.calibration[0], parts.inputs[0]])[:, 0]
    assert sorted(together) == [0, 1, 2, 3, 4]
    assert "the 3 samples of the data that it was not calibrated on" in parts.criterion
    with pytest.raises(export.UsageError, match="2 samples or more"):
        precision.samples(classifier(), {"x": x[:1]}, (0, 1), calibrated=True)
    drawn = precision.samples(classifier(), None, (-1, 1))
    assert "random" in drawn.criterion and -1 <= drawn.inputs[0].min() < 0


@pytest.mark.parametrize("labels", [[0, 1], [0, 1, 3], [0, 1, -1], [0.0, 1.0, 2.0], [["a"] * 3]])
def test_labels_that_do_not_fit(labels):
    data = {"x": np.zeros((3, 4)), "labels": np.array(labels)}
    with pytest.raises(export.UsageError, match="right label of each sample"):
        precision.samples(classifier(), data, (0, 1))


def test_a_model_without_labels_has_nothing_to_judge_by():
    with pytest.raises(export.UsageError, match="not .batch, classes."):
        precision.samples(classifier(classes=1), None, (0, 1))


def test_accuracy_decides(saved_capsnet, file, batches):
    """A file whose classes are rotated finds another label each time, though it is as finite."""
    model = keras.models.load_model(saved_capsnet)
    rotated = onnx.ModelProto()
    rotated.CopyFrom(file)
    (kernel,) = [t for t in rotated.graph.initializer if t.name == "class_capsules/matmul/B"]
    votes = numpy_helper.to_array(kernel).reshape(*kernel.dims[:2], 4, 6)
    turned = np.roll(votes, 1, axis=2).reshape(tuple(kernel.dims))
    kernel.CopyFrom(numpy_helper.from_array(turned, kernel.name))
    images = batches[0]["image"]
    labels = model.predict(images, verbose=0).argmax(axis=1)
    truth = np.where(np.arange(8) < 2, (labels + 1) % 4, labels)  # The model is right on six of 8.
    samples = precision.samples(model, {"image": images, "labels": truth}, (0, 1))
    inputs = suites.suites(model)
    right, wrong = ((f, parity.compare(model, f, inputs, "none")) for f in (file, rotated))

    def judge(reduced, max_drop):
        options = SimpleNamespace(max_drop=max_drop, batch=3)
        return precision.judge(model, {"float32": right, "int8": reduced}, samples, options)

    same = judge(right, max_drop=0)
    assert same["passed"] and same["drop"] == 0 and same["model"] == 75
    assert [row["score"] for row in same["rows"]] == [75, 75]
    worse = judge(wrong, max_drop=49.9)
    assert worse["rows"][1]["score"] == 25 and worse["drop"] == 50 and not worse["passed"]
    assert judge(wrong, max_drop=50)["passed"]


def test_int8_on_the_command_line(saved_capsnet, tmp_path, generator):
    images = generator.uniform(size=(40, 12, 12, 1)).astype("float32")
    labels = keras.models.load_model(saved_capsnet).predict(images, verbose=0).argmax(axis=1)
    np.savez(tmp_path / "data.npz", image=images, labels=labels)
    target, report = tmp_path / "model.onnx", tmp_path / "report.json"
    arguments = (saved_capsnet, "-o", target, "--report", report, "--precision", "int8")
    result = command_line(*arguments, "--data", tmp_path / "data.npz", "--max-drop", "10")
    assert result.returncode == 0, result.stdout + result.stderr
    assert "PASSED: int8 loses" in result.stdout and "20 labelled samples" in result.stdout
    as_json = json.loads(report.read_text())
    float32, int8 = as_json["precision"]["rows"]
    assert float32["score"] == 100 and float32["max_abs"] <= 1e-5 < int8["max_abs"]
    assert int8["bytes"] == as_json["file"]["bytes"] == target.stat().st_size
    assert all(row["latency_ms"] > 0 for row in (float32, int8))
    properties = onnxruntime.InferenceSession(target).get_modelmeta().custom_metadata_map
    assert properties["precision"] == "int8"
    assert json.loads(properties["verification"])["max_drop"] == 10
    assert verify(target).passed


def test_a_file_that_loses_too_much_is_not_written(saved_capsnet, tmp_path, monkeypatch):
    judge = precision.judge
    monkeypatch.setattr(precision, "judge", lambda *args: judge(*args) | {"passed": False})
    with pytest.raises(export.ParityError, match="(?s)float16 loses.*was not written") as caught:
        export.export_onnx(saved_capsnet, tmp_path / "model.onnx", precision="float16")
    assert caught.value.exit_code == 1 and not caught.value.report.passed
    assert json.loads(caught.value.report.to_json())["verdict"] == "failed"
    page = to_html(caught.value.report)
    assert "float16 loses 0.00 percentage points" in page and "In float16" in page
    assert list(tmp_path.iterdir()) == []


def test_options_that_cannot_be_had(tmp_path):
    for options, message in (
        ({"precision": "int8"}, "--data"),
        ({"precision": "bfloat16"}, "float32, float16, int8"),
        ({"max_drop": float("nan")}, "percentage points"),
    ):
        with pytest.raises(export.UsageError, match=message):
            export.export_onnx(classifier(), tmp_path / "model.onnx", **options)
