"""float16 and int8: what is reduced, what stays in float32, and who decides whether it is good."""

import hashlib

import numpy as np
import onnx
import pytest
from conftest import once, run_python
from onnx import TensorProto, helper, numpy_helper

import export
from export.compare.run import session
from export.graph.content import serialize
from export.reduce.float16 import to_float16
from export.reduce.int8 import to_int8

pytestmark = once


KERNEL = "class_capsules/matmul"


def run(file, inputs, optimize=True):
    return session(file, optimize, threads=1).run(None, inputs)[0]


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
    reduced = to_float16(file, batches, {"precision": "float16"})
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
    reduced = to_float16(file, batches, {})
    images = batches[0]["image"]
    for factor in (1, 1e4, 1e-8, 1e-30, 0):
        inputs = {"image": images * np.float32(factor)}
        for optimize in (False, True):
            np.testing.assert_allclose(run(reduced, inputs, optimize), run(file, inputs), atol=2e-3)


def test_float16_casts_no_value_there_and_back(file, batches):
    graph = to_float16(file, batches, {}).graph
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
    reduced = to_float16(file, [{"x": x}], {})
    assert types_of(reduced)["y"] == TensorProto.FLOAT
    assert [tensor.data_type for tensor in reduced.graph.initializer] == [TensorProto.FLOAT16]
    expected = x.astype("float64") @ weights.astype("float64")
    np.testing.assert_allclose(run(reduced, {"x": x}), expected, rtol=5e-4)


def test_int8_quantizes_by_channel_and_multiplies_capsules_in_float32(file, batches):
    reduced = to_int8(file, batches[:1], {})
    weights = {tensor.name: tensor for tensor in reduced.graph.initializer}
    nodes = {node.name: node for node in reduced.graph.node}
    for name in ("convolution/conv", "primary_capsules/convolution/conv"):
        (dequantized,) = [n for n in reduced.graph.node if n.output[0] == nodes[name].input[1]]
        quantized, scale = (weights[value] for value in dequantized.input[:2])
        assert quantized.data_type == TensorProto.INT8 and list(scale.dims) == quantized.dims[:1]
        assert np.abs(numpy_helper.to_array(quantized)).max() <= 64  # Seven bits.
    (stored,) = [n for n in reduced.graph.node if n.output[0] == nodes[KERNEL].input[1]]
    kernel, scale = (numpy_helper.to_array(weights[value]) for value in stored.input)
    (before,) = [w for w in file.graph.initializer if w.name == f"{KERNEL}/B"]
    before = numpy_helper.to_array(before)
    assert kernel.dtype == "int8" and scale.shape == ()
    assert np.abs(kernel * scale - before).max() <= scale / 2 * (1 + 1e-5)
    np.testing.assert_allclose(127 * scale, np.abs(before).max(), rtol=1e-6)
    types = types_of(reduced)
    for node in file.graph.node:
        if node.name.startswith(("class_capsules/", "scores/")):
            assert types[node.output[0]] == TensorProto.FLOAT
            if node.name != KERNEL:
                assert nodes[node.name].input[1:] == node.input[1:]
    for optimize in (False, True):
        found = run(reduced, batches[0], optimize)
        np.testing.assert_allclose(found, run(file, batches[0]), atol=0.05)


def test_int8_keeps_the_bias_of_a_channel_with_hardly_any_weight(generator):
    """Its scale is tiny; as int32 multiples of that, the bias would be cut off."""
    weights = generator.normal(size=(3, 2, 3, 3)).astype("float32")
    weights[1] *= 1e-9
    bias = np.array([0.5, 5.0, -0.5], "float32")
    nodes = [helper.make_node("Conv", ["x", "w", "b"], ["y"], "convolution/conv")]
    file = graph_of(nodes, {"w": weights, "b": bias}, [2, 6, 6], 4)
    x = generator.uniform(size=(16, 2, 6, 6)).astype("float32")
    reduced = to_int8(file, [{"x": x}], {})
    windows = np.lib.stride_tricks.sliding_window_view(x.astype("float64"), (3, 3), axis=(2, 3))
    expected = np.einsum("bchwij,ocij->bohw", windows, weights) + bias[:, None, None]
    for optimize in (False, True):
        np.testing.assert_allclose(run(reduced, {"x": x}, optimize), expected, atol=0.2)
        np.testing.assert_allclose(run(reduced, {"x": x}, optimize)[:, 1], 5.0, atol=0.05)


def test_int8_stores_a_weight_of_two_products_once_and_leaves_small_ones(generator):
    large, small = (generator.normal(size=(4, 8, n)).astype("float32") for n in (32, 8))
    convolution = generator.normal(size=(4, 4, 1)).astype("float32")
    nodes = [
        helper.make_node("Conv", ["x", "c"], ["a"], "convolution/conv"),
        helper.make_node("Transpose", ["a"], ["t"], "capsules/transpose", perm=[1, 0, 2]),
        helper.make_node("MatMul", ["t", "large"], ["one"], "capsules/matmul"),
        helper.make_node("Mul", ["t", "t"], ["squares"], "capsules/mul"),
        helper.make_node("MatMul", ["squares", "large"], ["two"], "capsules/matmul_2"),
        helper.make_node("MatMul", ["t", "small"], ["three"], "capsules/matmul_3"),
        helper.make_node("Concat", ["one", "two", "three"], ["four"], "capsules/concat", axis=-1),
        helper.make_node("ReduceMean", ["four"], ["y"], "capsules/mean", axes=[0], keepdims=0),
    ]
    weights = {"c": convolution, "large": large, "small": small}
    file = graph_of(nodes, weights, [4, 8], 2)
    x = generator.normal(size=(3, 4, 8)).astype("float32")
    reduced = to_int8(file, [{"x": x}], {})
    kinds = {tensor.name: tensor.data_type for tensor in reduced.graph.initializer}
    assert "large" not in kinds and kinds["small"] == TensorProto.FLOAT
    stored = [n for n in reduced.graph.node if "large/int8" in n.input]
    assert len(stored) == 1 and kinds["large/int8"] == TensorProto.INT8
    expected = run(file, {"x": x})
    atol = 0.05 * np.abs(expected).max()
    np.testing.assert_allclose(run(reduced, {"x": x}), expected, rtol=0, atol=atol)


def test_int8_needs_something_to_quantize():
    nodes = [helper.make_node("Relu", ["x"], ["y"], "activation/relu")]
    with pytest.raises(export.UsageError, match="convolution"):
        to_int8(graph_of(nodes, {}, [4], 2), [], {})


def test_one_file_whatever_the_process(exported_capsnet, file, batches, tmp_path):
    np.save(tmp_path / "images.npy", batches[0]["image"])
    code = (
        "import sys, hashlib, numpy as np, onnx\n"
        "from export.reduce.float16 import to_float16; from export.reduce.int8 import to_int8\n"
        "from export.graph.content import serialize\n"
        "file, x = onnx.load(sys.argv[1]), np.load(sys.argv[2])\n"
        "for convert in (to_float16, to_int8):\n"
        "    reduced = convert(file, [{'image': x}], {'b': '1', 'a': '2'})\n"
        "    print(hashlib.sha256(serialize(reduced)).hexdigest())\n"
    )
    there = run_python(
        *("-c", code, exported_capsnet[0], tmp_path / "images.npy"), env={"PYTHONHASHSEED": "1"}
    ).stdout.split()
    files = [reduce(file, batches[:1], {"a": "2", "b": "1"}) for reduce in (to_float16, to_int8)]
    here = [hashlib.sha256(serialize(reduced)).hexdigest() for reduced in files]
    assert here == there and len(set(here)) == 2
