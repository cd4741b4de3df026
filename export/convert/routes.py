"""Chooses the converter from a Keras model to a raw ONNX graph."""

import keras
import onnx

from export.convert.via_keras import via_keras
from export.convert.via_tf2onnx import via_tf2onnx
from export.errors import ConversionError


def to_raw_graph(
    model: keras.Model, opset: int, via: str, batch: int | None = None
) -> onnx.ModelProto:
    """Converts a model on the backend of this process.

    Args:
        model: The Keras model.
        opset: Integer.
        via: One of `export.options.ROUTES`. Its backend must be active.
        batch: Size of the batches, or `None` for an open axis. Only tf2onnx can fix it.

    Returns:
        The raw `onnx.ModelProto`. Its inputs and outputs have the model's names.

    Raises:
        ConversionError: If the converter fails, or a package is missing.
        UnsupportedOperationError: If the converter does not know an operation.
    """
    try:
        if via == "tf2onnx":
            return via_tf2onnx(model, opset, batch)
        return via_keras(model, opset)
    except ModuleNotFoundError as error:
        raise ConversionError(
            f"The conversion via {via} needs the package {error.name}, on every backend of the "
            f"model. Install it: pip install 'keras-capsules[export-{via}]'"
        ) from error
