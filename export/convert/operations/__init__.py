"""Converts TensorFlow operations that tf2onnx does not know, or gets wrong.

Each file has the handlers of a family, by the name of the TensorFlow operation.
"""

from export.convert import onnx_nodes
from export.convert.operations import (
    classes,
    convolutions,
    elementwise,
    images,
    reductions,
    tensors,
)

HANDLERS = (
    onnx_nodes.HANDLERS
    | classes.HANDLERS
    | convolutions.HANDLERS
    | elementwise.HANDLERS
    | images.HANDLERS
    | reductions.HANDLERS
    | tensors.HANDLERS
)
"""The handlers to pass to tf2onnx as `custom_op_handlers`."""
