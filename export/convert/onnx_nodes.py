"""Puts ONNX operations into TensorFlow graphs, for what TensorFlow or tf2onnx cannot express.

The graph gets a call of a Python function, which never runs. tf2onnx turns it into the ONNX node by
`HANDLERS`.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True)
class _Node:
    operation: str
    absent: list[bool]
    shapes: list[tuple]
    attributes: dict[str, Any]


_nodes: dict[str, _Node] = {}
"""The nodes by the name that TensorFlow gives to the Python function, unique in a process."""


def onnx_node(
    operation: str, inputs: Sequence, outputs: Sequence[tuple[Sequence, Any]], **attributes: Any
) -> list:
    """Adds an ONNX node to the TensorFlow graph that is being traced.

    Args:
        operation: Name of the ONNX operation, such as `"LSTM"`.
        inputs: TensorFlow tensors, or `None` for an optional input that is absent.
        outputs: Pairs of a shape, with `None` for open axes, and a dtype.
        attributes: Attributes of the node.

    Returns:
        A list of TensorFlow tensors.
    """
    import tensorflow as tf

    given = [value for value in inputs if value is not None]
    shapes = [tuple(shape) for shape, _ in outputs]
    results = tf.numpy_function(
        _never_runs, given, [dtype for _, dtype in outputs], name=operation.lower()
    )
    absent = [value is None for value in inputs]
    token = results[0].op.get_attr("token").decode()
    _nodes[token] = _Node(operation, absent, shapes, attributes)
    # A shape that is only set on the tensor does not reach tf2onnx.
    return [tf.ensure_shape(*pair) for pair in zip(results, shapes, strict=True)]


def _never_runs(*_):
    raise NotImplementedError("The function stands for an ONNX node, and only tf2onnx reads it.")


def _to_node(graph, call, name, _):
    node = _nodes[call.get_attr_str("token")]
    given = iter(call.input)
    inputs = ["" if absent else next(given) for absent in node.absent]
    dtypes = call.output_dtypes
    graph.remove_node(name)
    graph.make_node(
        node.operation,
        inputs,
        attr=node.attributes,
        outputs=call.output,
        shapes=[[-1 if size is None else size for size in shape] for shape in node.shapes],
        dtypes=dtypes,
        name=name,
    )


HANDLERS = {"PyFunc": (_to_node, [])}
"""The handlers to pass to tf2onnx as `custom_op_handlers`."""
