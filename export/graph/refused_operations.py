"""Refuses the operations that an exported file may not hold."""

import onnx

from export.errors import UnsupportedOperationError

# Control flow, and operations that onnxruntime runs slowly or that other runtimes lack.
REFUSED_OPERATIONS = {"Einsum", "If", "Loop", "Scan", "SequenceMap"}


def is_refused(node: onnx.NodeProto) -> bool:
    """Returns whether a node is a custom or a refused operation, which a file may not hold."""
    custom = node.domain not in ("", "ai.onnx") or not onnx.defs.has(node.op_type)
    return custom or node.op_type in REFUSED_OPERATIONS


def refuse_operations(model: onnx.ModelProto) -> None:
    """Checks the operations of a file.

    Raises:
        UnsupportedOperationError: If the file has a refused or a custom operation, or functions.
    """
    for node in model.graph.node:
        if is_refused(node):
            custom = node.op_type not in REFUSED_OPERATIONS
            kind = "an operation outside the ONNX standard" if custom else "not run on every device"
            unrolled = (
                " Recurrent layers do not need it with unroll=True."
                if node.op_type == "Loop"
                else ""
            )
            raise UnsupportedOperationError(
                f"The model needs the operation {node.op_type} ({kind}) in {node.name!r}. Replace "
                "the layer it comes from by one built of matrix products, convolutions, "
                f"reductions and element-wise operations.{unrolled}"
            )
    if model.functions:
        raise UnsupportedOperationError(
            f"The graph defines its own functions: {[f.name for f in model.functions]}"
        )
