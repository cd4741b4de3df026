"""Converts a Keras model with tf2onnx, under TensorFlow."""

import logging

import keras
import onnx
import onnx.numpy_helper

from export import keras_model
from export.convert import operations, patches
from export.convert.operations import refused
from export.errors import ConversionError, UnsupportedOperationError

_WHAT = "The model does not run under TensorFlow, which the conversion needs"
_REMEDY = "Replace the layer by one that runs there: KERAS_BACKEND=tensorflow tries it."


def via_tf2onnx(model: keras.Model, opset: int, batch: int | None) -> onnx.ModelProto:
    """Converts a model under TensorFlow; see `export.convert.routes.to_raw_graph`."""
    import tensorflow as tf
    import tf2onnx

    names = keras_model.output_names(model)
    signature = [
        tf.TensorSpec((batch, *tensor.shape[1:]), tensor.dtype, name=name)
        for tensor, name in zip(model.inputs, keras_model.input_names(model), strict=True)
    ]

    @tf.function
    def forward(*inputs):
        return dict(zip(names, keras_model.call(model, list(inputs)), strict=True))

    with (
        keras_model.naming_the_layer(_WHAT, _REMEDY),
        patches.convolutions_on_cpus(),
        patches.readable_functions(),
        patches.recurrent_layers(),
    ):
        captures = forward.get_concrete_function(*signature).graph.captures
    constants = {
        placeholder.name: value.numpy()
        for value, placeholder in captures
        if placeholder.dtype != tf.resource
    }
    errors = _ErrorLog()
    logging.getLogger("tf2onnx").addHandler(errors)
    try:
        with patches.nodes_in_order(), patches.reshaped_outputs():
            proto, _ = tf2onnx.convert.from_function(
                forward, signature, opset=opset, custom_op_handlers=operations.HANDLERS
            )
    except Exception as error:  # tf2onnx and TensorFlow may raise any class.
        raise ConversionError(f"tf2onnx failed: {type(error).__name__}: {error}") from error
    # If tf2onnx cannot convert an operation, it writes the file anyway and only logs an error.
    if errors.records:
        raise UnsupportedOperationError(refused.explain(errors.records))
    # tf2onnx treats the constants of a layer as inputs of the graph.
    for value in [value for value in proto.graph.input if value.name in constants]:
        constant = onnx.numpy_helper.from_array(constants[value.name], value.name)
        proto.graph.initializer.append(constant)
        proto.graph.input.remove(value)
    return proto


class _ErrorLog(logging.Handler):
    def __init__(self):
        super().__init__(level=logging.ERROR)
        self.records = []

    def emit(self, record):
        self.records.append(record)
