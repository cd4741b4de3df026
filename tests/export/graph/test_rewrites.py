"""Rewrites of a graph: the same results, in fewer or other operations."""

import numpy as np
import onnx
import onnx.reference
import onnxruntime
import pytest
from onnx import TensorProto, helper, numpy_helper
from onnx_graphs import canonical_file, graph_of

from export.graph import canonical, rewrites


def test_a_reciprocal_becomes_a_division():
    model = canonical_file(
        graph_of([helper.make_node("Reciprocal", ["x"], ["y"], "m/inverse_1/Reciprocal")])
    )
    assert [node.op_type for node in model.graph.node] == ["Div"]
    session = onnx.reference.ReferenceEvaluator(model)
    np.testing.assert_array_equal(session.run(None, {"x": np.full((1, 4), 4, "float32")})[0], 0.25)


@pytest.mark.parametrize(
    "order, axes, nodes_left",
    [
        ((1, 2, 0, 3), [2], ["ReduceSum"]),
        ((1, 2, 0, 3), [-2], ["ReduceSum"]),
        ((3, 0, 2, 1), [0, 3], ["ReduceSum"]),
        ((1, 2, 0, 3), [0], ["ReduceSum", "Transpose"]),
        ((3, 2, 1, 0), [1], ["ReduceSum", "Transpose"]),
    ],
)
@pytest.mark.parametrize("operation", ["ReduceSum", "ReduceMean"])
def test_a_reduction_reads_what_was_there_before_a_transpose(
    generator, order, axes, nodes_left, operation
):
    nodes = [
        helper.make_node("Transpose", ["x"], ["t"], perm=order),
        helper.make_node("ReduceSum", ["t", "axes"], ["y"], keepdims=0),
    ]
    if operation == "ReduceMean":  # Its axes were an attribute until opset 18.
        nodes[1] = helper.make_node("ReduceMean", ["t"], ["y"], keepdims=0, axes=axes)
    values = [
        helper.make_tensor_value_info("x", TensorProto.FLOAT, [2, 3, 4, 5]),
        helper.make_tensor_value_info("y", TensorProto.FLOAT, [None] * (4 - len(axes))),
    ]
    weights = [numpy_helper.from_array(np.array(axes), "axes")]
    graph = helper.make_graph(nodes, "anything", values[:1], values[1:], weights)
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)])
    rewrites.rewrite(model.graph)
    nodes = canonical.ordered_nodes(model.graph, ["y"])
    assert [node.op_type.replace("Mean", "Sum") for node in nodes] == nodes_left
    del model.graph.node[:]
    model.graph.node.extend(nodes)
    x = generator.normal(size=(2, 3, 4, 5)).astype("float32")
    found = onnx.reference.ReferenceEvaluator(model).run(None, {"x": x})[0]
    reduce = np.sum if operation == "ReduceSum" else np.mean
    expected = reduce(x.astype("float64").transpose(order), axis=tuple(axes))
    np.testing.assert_allclose(found, expected, atol=1e-5)


@pytest.mark.parametrize("opset", [17, 18])
@pytest.mark.parametrize("keepdims", [0, 1])
@pytest.mark.parametrize("shape, nodes_left", [((2, 9, 64, 3, 16), 3), ((2, 9, 4, 3, 16), 1)])
def test_many_values_are_averaged_axis_by_axis(generator, opset, keepdims, shape, nodes_left):
    """One sum of 9,216 squares in onnxruntime is off by 30 roundings and more."""
    axes, options = [1, -3, 4], {"keepdims": keepdims}
    weights = [numpy_helper.from_array(np.array(axes), "axes")] if opset == 18 else []
    inputs = ["x", "axes"] if opset == 18 else ["x"]
    options |= {} if opset == 18 else {"axes": axes}
    model = onnx.helper.make_model(
        helper.make_graph(
            [helper.make_node("ReduceMean", inputs, ["y"], **options)],
            "mean",
            [helper.make_tensor_value_info("x", TensorProto.FLOAT, shape)],
            [helper.make_tensor_value_info("y", TensorProto.FLOAT, None)],
            weights,
        ),
        opset_imports=[helper.make_opsetid("", opset)],
        ir_version=8,
    )
    rewrites.rewrite(model.graph)
    nodes = sorted(model.graph.node, key=lambda node: node.output[0] == "y")
    del model.graph.node[:]
    model.graph.node.extend(nodes)
    assert len(nodes) == nodes_left
    x = generator.random(shape).astype("float32") ** 4
    (found,) = onnxruntime.InferenceSession(model.SerializeToString()).run(None, {"x": x})
    expected = x.astype("float64").mean((1, 2, 4), keepdims=bool(keepdims))
    np.testing.assert_allclose(found, expected, rtol=5e-7 if nodes_left > 1 else 1e-5)
