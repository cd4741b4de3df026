"""The ways from a Keras model to raw ONNX. Each runs on a backend of its own."""

import contextlib
import logging
import tempfile
from pathlib import Path
from unittest import mock

import keras
import onnx
import onnx.numpy_helper

from export import source
from export.errors import ConversionError, UnsupportedOperationError


def convert(model: keras.Model, opset: int, via: str, batch: int | None = None) -> onnx.ModelProto:
    """Converts a model on the backend of this process.

    Args:
        model: The Keras model.
        opset: Integer.
        via: One of `export.options.ROUTES`, whose backend is the active one.
        batch: Size of the batches, which tf2onnx alone can fix, or `None` for an open axis.

    Returns:
        The raw `onnx.ModelProto`, whose inputs and outputs carry the model's names.

    Raises:
        ConversionError: If the converter fails, or a package is missing.
        UnsupportedOperationError: If it does not know an operation.
    """
    try:
        return _via_tf2onnx(model, opset, batch) if via == "tf2onnx" else _via_keras(model, opset)
    except ModuleNotFoundError as error:
        raise ConversionError(
            f"The conversion via {via} needs the package {error.name}, whichever backend runs the "
            f"model. Install it: pip install 'keras-capsules[export-{via}]'"
        ) from error


def _via_tf2onnx(model, opset, batch):
    import tensorflow as tf
    import tf2onnx
    from keras.src.export.tf2onnx_lib import patch_tf2onnx

    patch_tf2onnx()
    names = source.output_names(model)
    signature = [
        tf.TensorSpec((batch, *tensor.shape[1:]), tensor.dtype, name=name)
        for tensor, name in zip(model.inputs, source.input_names(model), strict=True)
    ]

    @tf.function
    def forward(*inputs):
        return dict(zip(names, source.call(model, list(inputs)), strict=True))

    captures = forward.get_concrete_function(*signature).graph.captures
    constants = {
        placeholder.name: value.numpy()
        for value, placeholder in captures
        if placeholder.dtype != tf.resource
    }
    errors = _ErrorLog()
    logging.getLogger("tf2onnx").addHandler(errors)
    try:
        with _nodes_in_order(tf2onnx):
            proto, _ = tf2onnx.convert.from_function(forward, signature, opset=opset)
    except Exception as error:  # tf2onnx and TensorFlow raise what they like.
        raise ConversionError(f"tf2onnx failed: {type(error).__name__}: {error}") from error
    # tf2onnx writes the file all the same when it cannot convert an operation, and only logs it.
    if errors.messages:
        raise UnsupportedOperationError(
            "tf2onnx cannot convert the model. Replace the layer that uses the operation (a "
            "convolution with groups becomes a StatefulPartitionedCall), or try --via torch (in "
            "Python: via='torch'). tf2onnx says: " + "; ".join(errors.messages)
        )
    # tf2onnx takes the constants that a layer holds for inputs of the graph.
    for value in [value for value in proto.graph.input if value.name in constants]:
        constant = onnx.numpy_helper.from_array(constants[value.name], value.name)
        proto.graph.initializer.append(constant)
        proto.graph.input.remove(value)
    return proto


@contextlib.contextmanager
def _nodes_in_order(tf2onnx):
    """Makes tf2onnx meet the nodes of a graph in the same order in each process.

    Of equal ones it keeps the first, whose name the file gets. TensorFlow's optimizer returns them
    in any order, and tf2onnx holds them in sets, by their addresses.
    """
    optimize = tf2onnx.tf_loader.tf_optimize

    def optimize_and_sort(*arguments):
        graph = optimize(*arguments)
        nodes = sorted(graph.node, key=lambda node: node.name)
        del graph.node[:]
        graph.node.extend(nodes)
        return graph

    with (
        mock.patch.object(tf2onnx.tf_loader, "tf_optimize", optimize_and_sort),
        mock.patch.object(tf2onnx.graph.Node, "__hash__", lambda node: hash(node.name)),
    ):
        yield


class _ErrorLog(logging.Handler):
    def __init__(self):
        super().__init__(level=logging.ERROR)
        self.messages = []

    def emit(self, record):
        self.messages.append(record.getMessage())


def _via_keras(model, opset):
    """Converts by Keras' own export: TorchScript under PyTorch, jax2onnx under JAX."""
    one = [keras.ops.zeros((1, *tensor.shape[1:]), tensor.dtype) for tensor in model.inputs]
    source.call(model, one)  # Keras refuses a model that was never called.
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "model.onnx"
        try:
            model.export(path, format="onnx", opset_version=opset, verbose=False)
        except ModuleNotFoundError:
            raise
        except Exception as error:  # The exporters raise what they like.
            raise ConversionError(
                f"The export of Keras on {keras.backend.backend()} failed: "
                f"{type(error).__name__}: {error}"
            ) from error
        proto = onnx.load(path)  # With the weights that jax2onnx puts beside the file.
    _rename(proto.graph, proto.graph.input, source.input_names(model))
    _rename(proto.graph, proto.graph.output, source.output_names(model))
    return proto


def _rename(graph, values, names):
    """Gives inputs or outputs other names, in their order."""
    new = dict(zip((value.name for value in values), names, strict=True))
    for value in values:
        value.name = new[value.name]
    for node in graph.node:
        for ends in (node.input, node.output):
            ends[:] = [new.get(end, end) for end in ends]
