"""Operations that no file may hold."""

import pytest
from onnx import helper
from onnx_graphs import graph_of

import export
from export.graph import refused_operations


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


def test_an_allowed_loop_holds_allowed_operations_only():
    values = [helper.make_tensor_value_info(name, 1, [4]) for name in ("i", "go", "a", "b")]
    for inner in ("Identity", "Einsum"):
        attributes = {"equation": "i->i"} if inner == "Einsum" else {}
        node = helper.make_node(inner, ["a"], ["b"], f"m/mix_1/{inner}", **attributes)
        body = helper.make_graph([node], "body", values[:3], [values[1], values[3]])
        loop = helper.make_node("Loop", ["", "", "x"], ["y"], "m/loop_1/Loop", body=body)
        with pytest.raises(export.UnsupportedOperationError, match="Loop.*--allow Loop"):
            refused_operations.refuse_operations(graph_of([loop]))
        if inner == "Identity":
            refused_operations.refuse_operations(graph_of([loop]), ["Loop"])
        else:
            with pytest.raises(export.UnsupportedOperationError, match="Einsum"):
                refused_operations.refuse_operations(graph_of([loop]), ["Loop"])
