"""Refuses the operations that an exported file may not hold."""

from collections.abc import Callable, Collection

import onnx

from export.errors import UnsupportedOperationError
from export.graph.order import all_nodes
from export.options import CONTROL_FLOW

# Control flow, and operations that onnxruntime runs slowly or that other runtimes lack.
REFUSED_OPERATIONS = {"Einsum", "SequenceMap", *CONTROL_FLOW}


def is_refused(node: onnx.NodeProto) -> bool:
    """Returns whether a node is a custom or a refused operation, which a file may not hold."""
    return _is_custom(node) or node.op_type in REFUSED_OPERATIONS


def is_control_flow(node: onnx.NodeProto) -> bool:
    """Returns whether a node is control flow, which a file may hold if it is allowed."""
    return not _is_custom(node) and node.op_type in CONTROL_FLOW


def refuse_operations(
    model: onnx.ModelProto,
    allowed: Collection[str] = (),
    layers_of: Callable[[onnx.NodeProto], list[str]] = lambda node: [],
) -> None:
    """Checks the operations of a file.

    Args:
        model: The file.
        allowed: Control flow that the file may hold.
        layers_of: Function that returns the names of the layers around a node.

    Raises:
        UnsupportedOperationError: If the file has a refused or a custom operation, or functions.
    """
    for node in all_nodes(model.graph.node):
        taken = is_control_flow(node) and node.op_type in allowed
        if is_refused(node) and not taken:
            raise UnsupportedOperationError(_message(node, layers_of(node)))
    if model.functions:
        raise UnsupportedOperationError(
            f"The graph defines its own functions: {[f.name for f in model.functions]}"
        )


def _is_custom(node):
    return node.domain not in ("", "ai.onnx") or not onnx.defs.has(node.op_type)


def _message(node, layers):
    operation = node.op_type
    custom = _is_custom(node)
    kind = "an operation outside the ONNX standard" if custom else "not run on every device"
    place = f"layer {'/'.join(layers)!r}, node {node.name!r}" if layers else repr(node.name)
    text = (
        f"The model needs the operation {operation} ({kind}) in {place}. Replace the layer it "
        "comes from by one built of matrix products, convolutions, reductions and element-wise "
        "operations"
    )
    if not is_control_flow(node):
        return f"{text}."
    return (
        f"{text}. A recurrent layer with cells of your own is unrolled if keras.Input has the "
        f"number of steps: keras.Input((steps, features)). Or take the {operation}, which costs "
        f"the devices that the report names: --allow {operation} (in Python: "
        f"allow=[{operation!r}])."
    )
