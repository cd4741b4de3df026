"""Converts a model by Keras' export: TorchScript under PyTorch, jax2onnx under JAX."""

import tempfile
from pathlib import Path

import keras
import onnx

from export import keras_model
from export.errors import ConversionError, in_words


def via_keras(model: keras.Model, opset: int) -> onnx.ModelProto:
    """Converts a model on the active backend; see `export.convert.routes.to_raw_graph`."""
    if any(None in tensor.shape[1:] for tensor in model.inputs):
        raise ConversionError(
            f"Keras' export on {keras.backend.backend()} does not keep sizes open. Use --via "
            "tf2onnx, the default, or give keras.Input each size."
        )
    one = [keras.ops.zeros((1, *tensor.shape[1:]), tensor.dtype) for tensor in model.inputs]
    keras_model.call(model, one)  # Keras cannot export a model that was never called.
    if keras.backend.backend() == "torch":  # A file's constants have no gradient.
        for variable in model.variables:
            variable.value.requires_grad_(False)
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "model.onnx"
        try:
            model.export(path, format="onnx", opset_version=opset, verbose=False)
        except ModuleNotFoundError:
            raise
        except Exception as error:  # The exporters may raise any class.
            raise ConversionError(
                f"The export of Keras on {keras.backend.backend()} failed: {in_words(error)}"
            ) from error
        proto = onnx.load(path)  # With the weights, which jax2onnx stores in another file.
    _rename(proto.graph, proto.graph.input, keras_model.input_names(model))
    _rename(proto.graph, proto.graph.output, keras_model.output_names(model))
    return proto


def _rename(graph, values, names):
    """Renames inputs or outputs, in their order."""
    new = dict(zip((value.name for value in values), names, strict=True))
    for value in values:
        value.name = new[value.name]
    for node in graph.node:
        for ends in (node.input, node.output):
            ends[:] = [new.get(end, end) for end in ends]
