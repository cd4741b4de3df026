"""Builds ONNX nodes in tf2onnx's graph, for the handlers of this folder."""

from typing import Any

import numpy as np


def add(graph, operation: str, inputs: list[str], **attributes: Any) -> str:
    """Adds a node with one output, and returns the name of the output."""
    return graph.make_node(operation, inputs, attr=attributes).output[0]


def constant(graph, value: Any, dtype: str) -> str:
    """Adds a constant, and returns its name."""
    from tf2onnx import utils

    return graph.make_const(utils.make_name("constant"), np.array(value, dtype)).output[0]


def like(graph, name: str, value: Any) -> str:
    """Adds a constant of the dtype of the tensor `name`, and returns its name."""
    from tf2onnx import utils

    return constant(graph, value, utils.map_onnx_to_numpy_type(graph.get_dtype(name)))


def replace(graph, node, operation: str, inputs: list[str], **attributes: Any) -> None:
    """Puts an ONNX node in the place of a TensorFlow node, whose first output it computes."""
    shapes, dtypes, outputs = node.output_shapes[:1], node.output_dtypes[:1], node.output[:1]
    graph.remove_node(node.name)
    graph.make_node(
        operation,
        inputs,
        attr=attributes,
        outputs=outputs,
        shapes=shapes,
        dtypes=dtypes,
        name=node.name,
    )


def by_tf2onnx(graph, node) -> None:
    """Lets the handler of tf2onnx itself convert a node."""
    from tf2onnx.handler import tf_op

    operation = node.type
    handler, options = tf_op.create_mapping(graph.opset, graph.extra_opset)[operation]
    node.type = options.get("onnx_op") or operation
    handler(graph, node, **{"tf_op": operation, **options})


def value_of(node, index: int) -> Any:
    """Returns the value of an input of a node, or None if it is not a constant."""
    source = node.inputs[index]
    return source.get_tensor_value(as_list=False) if source.is_const() else None


def is_float(graph, name: str) -> bool:
    """Returns whether a tensor has a floating-point dtype."""
    from tf2onnx import utils

    return np.dtype(utils.map_onnx_to_numpy_type(graph.get_dtype(name))).kind == "f"
