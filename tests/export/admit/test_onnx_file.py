"""ONNX files made by hand to do harm: each is refused."""

import numpy as np
import onnx
import pytest
from conftest import once
from onnx import TensorProto, helper

import export
from export.admit import onnx_file

pytestmark = [once, pytest.mark.filterwarnings("ignore:Duplicate name")]


# ONNX files: each changes a whole one.


def onnx_model():
    weights = onnx.numpy_helper.from_array(np.ones((4, 3), "float32"), "weights")
    graph = helper.make_graph(
        [helper.make_node("MatMul", ["x", "weights"], ["y"])],
        "model",
        [helper.make_tensor_value_info("x", TensorProto.FLOAT, ["batch", 4])],
        [helper.make_tensor_value_info("y", TensorProto.FLOAT, ["batch", 3])],
        [weights],
    )
    return helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)])


def with_external_data(model):
    weights = model.graph.initializer[0]
    weights.ClearField("raw_data")
    weights.data_location = TensorProto.EXTERNAL
    weights.external_data.add(key="location", value="../../etc/passwd")


def with_shape(model, *dims):
    model.graph.initializer[0].dims[:] = dims


def with_sparse_weights(model):
    values = onnx.numpy_helper.from_array(np.ones(1, "float32"), "sparse")
    indices = onnx.numpy_helper.from_array(np.zeros(1, "int64"), "indices")
    model.graph.sparse_initializer.append(
        helper.make_sparse_tensor(values, indices, [2**40, 2**20])
    )


def with_constant_in_a_branch(model):
    """Far inside: in the branch of an If."""
    constant = onnx.numpy_helper.from_array(np.ones(1, "float32"), "hidden")
    constant.external_data.add(key="location", value="secret")
    node = helper.make_node("Constant", [], ["c"], value=constant)
    branch = helper.make_graph([node], "branch", [], [])
    model.graph.node.append(helper.make_node("If", ["x"], ["z"], then_branch=branch))


def with_function(model):
    model.functions.append(
        helper.make_function("evil", "f", ["a"], ["b"], [], [helper.make_opsetid("", 17)])
    )


ONNX_FILES = {
    "another file": with_external_data,
    "contradict": lambda model: with_shape(model, 2**40, 2**20),
    "contradict their shape": lambda model: with_shape(model, 2, 3),
    "of shape": lambda model: with_shape(model, -1, 3),
    "sparse weights": with_sparse_weights,
    "'hidden' in another file": with_constant_in_a_branch,
    "custom operations": with_function,
    "training": lambda model: model.training_info.add(),
    "no graph": lambda model: model.ClearField("graph"),
}


@pytest.mark.parametrize("words", ONNX_FILES)
def test_unsafe_onnx_files(tmp_path, words):
    model = onnx_model()
    ONNX_FILES[words](model)
    path = tmp_path / "model.onnx"
    path.write_bytes(model.SerializeToString())
    with pytest.raises(export.RefusedInputError, match=words):
        onnx_file.load(path)


def test_onnx_files_of_another_kind(tmp_path):
    path = tmp_path / "model.json"  # A suffix by which onnx would take another format.
    path.write_bytes(onnx_model().SerializeToString())
    assert onnx_file.load(path) == onnx_model()
    path.write_bytes(path.read_bytes()[:-20])
    with pytest.raises(export.RefusedInputError, match="damaged"):
        onnx_file.load(path)
    with pytest.raises(export.UsageError, match="no file"):
        onnx_file.load(tmp_path)
