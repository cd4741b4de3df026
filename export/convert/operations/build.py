"""Builds ONNX nodes in tf2onnx's graph, for the handlers of this folder."""

from typing import Any

import numpy as np

FLOAT, INT32, INT64, BOOL, FLOAT16, DOUBLE, BFLOAT16 = 1, 6, 7, 9, 10, 11, 16
"""The dtypes of `onnx.TensorProto`."""


class CannotConvertError(ValueError):
    """A handler cannot write its operation. `explain` of `refused.py` prints both texts."""

    def __init__(self, reason: str, remedy: str):
        super().__init__(f"{reason}. {remedy}")
        self.reason, self.remedy = reason, remedy


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


def reduced(graph, operation: str, name: str, axis: int) -> str:
    """Adds a reduction of one axis, which is an attribute or an input by the opset."""
    if operation == "ReduceSum" or graph.opset >= 18:
        return add(graph, operation, [name, constant(graph, [axis], "int64")], keepdims=0)
    return add(graph, operation, [name], axes=[axis], keepdims=0)


def cast(graph, name: str, dtype: int) -> str:
    """Casts a tensor to an ONNX dtype if it has another one, and returns the name."""
    return name if graph.get_dtype(name) == dtype else add(graph, "Cast", [name], to=dtype)


def replace_by_cast(graph, node, name: str) -> None:
    """Puts a tensor in the place of a TensorFlow node, in the dtype of its first output."""
    dtype = node.output_dtypes[0]
    if graph.get_dtype(name) == dtype:
        replace(graph, node, "Identity", [name])
    else:
        replace(graph, node, "Cast", [name], to=dtype)


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
    return graph.get_dtype(name) in (FLOAT, DOUBLE, FLOAT16, BFLOAT16)


def computable(graph, name: str) -> int:
    """Returns the dtype, as wide as that of a tensor, in which onnxruntime computes everything."""
    dtype = graph.get_dtype(name)
    if dtype in (FLOAT, DOUBLE, INT32, INT64):
        return dtype
    return FLOAT if is_float(graph, name) else INT64
