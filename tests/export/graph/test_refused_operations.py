"""Operations that no file may hold."""

import pytest
from onnx import TensorProto, helper, numpy_helper

import export
from export.graph import refused_operations


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
        refused_operations.refuse_operations(graph_of([node]))
