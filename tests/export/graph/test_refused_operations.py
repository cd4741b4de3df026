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
