import numpy as np
import onnx
import onnx.reference
import pytest
from onnx import helper
from onnx_graphs import canonical_file, graph_of

import export
from export.graph.content import serialize


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
        serialize(canonical_file(two_branches(order, number), {"dense", "dense_1"}))
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
    model = canonical_file(
        graph_of([helper.make_node("Tanh", ["x"], ["y"], "m/act_1/Tanh")]), {"act"}
    )
    assert [
        dim.dim_param or dim.dim_value for dim in model.graph.input[0].type.tensor_type.shape.dim
    ] == ["batch", 4]
    assert {entry.key: entry.value for entry in model.metadata_props} == {"key": "value"}
    assert model.ir_version == 8 and len(model.opset_import) == 1
    assert not model.doc_string and not model.graph.doc_string


def test_an_invalid_graph_is_a_failed_conversion():
    nodes = [helper.make_node("MatMul", ["x", "W"], ["y"], "m/dense_1/MatMul")]
    with pytest.raises(export.ConversionError, match="not valid"):
        canonical_file(graph_of(nodes, [("W", np.ones((5, 4), "float32"))]))
