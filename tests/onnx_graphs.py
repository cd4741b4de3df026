"""Small ONNX graphs for tests."""

import onnx
from onnx import TensorProto, helper, numpy_helper

from export.graph import canonical


def graph_of(nodes, weights=(), size=4):
    """A model of these nodes from `x` to `y`, as a converter may write it."""
    values = [
        helper.make_tensor_value_info(name, TensorProto.FLOAT, ["unk__1", size])
        for name in ("x", "y")
    ]
    initializers = [numpy_helper.from_array(array, name) for name, array in weights]
    graph = helper.make_graph(nodes, "anything", values[:1], values[1:], initializers)
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)])
    model.ir_version = 8
    return model


def canonical_file(model: onnx.ModelProto, layers=()):
    """The canonical file of such a model."""
    arguments = {"x": (None, 4)}, {"y": (None, 4)}, set(layers), {"key": "value"}
    return canonical.to_canonical(model, *arguments)[0]
