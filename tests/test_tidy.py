import random

import numpy as np
import onnx
import onnx.reference
import pytest
from conftest import once, small_capsnet
from onnx import TensorProto, helper, numpy_helper

import export
from export import rewrites, routes, source, tidy
from keras_capsules.explain import explained_model


def graph_of(nodes, weights=(), size=4):
    values = [
        helper.make_tensor_value_info(name, TensorProto.FLOAT, ["unk__1", size])
        for name in ("x", "y")
    ]
    initializers = [numpy_helper.from_array(array, name) for name, array in weights]
    graph = helper.make_graph(nodes, "anything", values[:1], values[1:], initializers)
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)])
    model.ir_version = 8
    return model


def tidied(model, layers=()):
    arguments = {"x": (None, 4)}, {"y": (None, 4)}, set(layers), {"key": "value"}
    return tidy.tidy(model, *arguments)[0]


def two_branches(order, number):
    """The same graph as a converter may write it on another day."""
    nodes = {
        "left": helper.make_node(
            "MatMul", ["x", "m/dense_1/W"], [f"l:{number}"], f"m/dense_1/L__{number}"
        ),
        "right": helper.make_node(
            "MatMul", ["x", f"w__{number}"], [f"r:{number}"], "m/dense_1_1/R"
        ),
        "both": helper.make_node(
            "Sub", [f"l:{number}", f"r:{number}"], ["y"], f"Sub__{number + 1}"
        ),
    }
    weights = [
        ("m/dense_1/W", np.eye(4, dtype="float32")),
        (f"w__{number}", np.ones((4, 4), "float32")),
    ]
    return graph_of([nodes[name] for name in order], weights if number % 2 else weights[::-1])


def test_canonical_whatever_the_order_and_the_numbers():
    files = [
        tidy.serialize(tidied(two_branches(order, number), {"dense", "dense_1"}))
        for order, number in (
            (("left", "right", "both"), 7),
            (("right", "left", "both"), 8),
            (("right", "left", "both"), 1234),
        )
    ]
    assert len(set(files)) == 1
    graph = onnx.load_from_string(files[0]).graph
    assert [node.name for node in graph.node] == ["dense/matmul", "dense_1/matmul", "dense/sub"]
    assert [tensor.name for tensor in graph.initializer] == ["dense/matmul/B", "dense_1/matmul/B"]


def test_dims_metadata_and_versions():
    model = tidied(graph_of([helper.make_node("Tanh", ["x"], ["y"], "m/act_1/Tanh")]), {"act"})
    assert [
        dim.dim_param or dim.dim_value for dim in model.graph.input[0].type.tensor_type.shape.dim
    ] == ["batch", 4]
    assert {entry.key: entry.value for entry in model.metadata_props} == {"key": "value"}
    assert model.ir_version == 8 and len(model.opset_import) == 1
    assert not model.doc_string and not model.graph.doc_string


def test_a_reciprocal_becomes_a_division():
    model = tidied(
        graph_of([helper.make_node("Reciprocal", ["x"], ["y"], "m/inverse_1/Reciprocal")])
    )
    assert [node.op_type for node in model.graph.node] == ["Div"]
    session = onnx.reference.ReferenceEvaluator(model)
    np.testing.assert_array_equal(session.run(None, {"x": np.full((1, 4), 4, "float32")})[0], 0.25)


@pytest.mark.parametrize(
    "node",
    [
        helper.make_node("Einsum", ["x"], ["y"], "m/mix_1/Einsum", equation="ij->ij"),
        helper.make_node("Squash", ["x"], ["y"], "m/squash_1/Squash", domain="my.ops"),
        helper.make_node("TensorListReserve", ["x"], ["y"], "m/loop_1/TensorListReserve"),
    ],
)
def test_operations_that_no_file_may_hold(node):
    with pytest.raises(export.UnsupportedOperationError, match=f"{node.op_type}.*{node.name}"):
        tidy.refuse_operations(graph_of([node]))


def test_an_invalid_graph_is_a_failed_conversion():
    nodes = [helper.make_node("MatMul", ["x", "W"], ["y"], "m/dense_1/MatMul")]
    with pytest.raises(export.ConversionError, match="not valid"):
        tidied(graph_of(nodes, [("W", np.ones((5, 4), "float32"))]))


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
    nodes = tidy.ordered_nodes(model.graph, ["y"])
    assert [node.op_type.replace("Mean", "Sum") for node in nodes] == nodes_left
    del model.graph.node[:]
    model.graph.node.extend(nodes)
    x = generator.normal(size=(2, 3, 4, 5)).astype("float32")
    found = onnx.reference.ReferenceEvaluator(model).run(None, {"x": x})[0]
    reduce = np.sum if operation == "ReduceSum" else np.mean
    expected = reduce(x.astype("float64").transpose(order), axis=tuple(axes))
    np.testing.assert_allclose(found, expected, atol=1e-5)


@once
def test_equal_nodes_are_merged_alike_in_any_order(monkeypatch):
    """TensorFlow's optimizer returns its nodes in another order in each process."""
    tf_loader = pytest.importorskip("tf2onnx.tf_loader")
    model = explained_model(small_capsnet(with_decoder=True), ["scores", "reconstruction"])
    axes = {"image": model.input.shape}, {key: x.shape for key, x in model.output.items()}

    def convert(seed, optimize=tf_loader.tf_optimize):
        def shuffled(*arguments):
            graph = optimize(*arguments)
            nodes = random.Random(seed).sample(list(graph.node), len(graph.node))
            del graph.node[:]
            graph.node.extend(nodes)
            return graph

        monkeypatch.setattr(tf_loader, "tf_optimize", shuffled)
        raw = routes.convert(model, 17, "tf2onnx")
        return tidy.serialize(tidy.tidy(raw, *axes, source.layer_names(model), {})[0])

    assert convert(0) == convert(1)
