"""Keras model to raw ONNX, by tf2onnx under TensorFlow, in a process of its own.

A process of its own because one model must give one file whichever backend asks for it, and
because tf2onnx needs numpy patched for the whole process. `convert` starts that process, `main`
is what runs in it.
"""

import argparse
import importlib
import json
import logging
import os
import subprocess
import sys
import tempfile
from pathlib import Path

import onnx
import onnx.numpy_helper

from export.errors import ConversionError, ExportError, UnsupportedOperationError

# Hash order decides in which order tf2onnx meets nodes, and oneDNN how constants are folded.
_CHILD_ENVIRONMENT = {
    "KERAS_BACKEND": "tensorflow",
    "PYTHONHASHSEED": "0",
    "CUDA_VISIBLE_DEVICES": "-1",
    "TF_CPP_MIN_LOG_LEVEL": "3",
    "TF_ENABLE_ONEDNN_OPTS": "0",
}


def convert(
    source: Path, opset: int, modules: list[str], batch: int | None = None
) -> onnx.ModelProto:
    """Converts a saved model.

    Args:
        source: Path of a `.keras` file.
        opset: Integer out of `export.runtimes.OPSETS`.
        modules: Modules to import first, which register the model's custom classes.
        batch: Integer, or `None` for an open batch axis.

    Returns:
        The raw `onnx.ModelProto`, whose inputs and outputs carry the model's names.

    Raises:
        ConversionError, UnsupportedOperationError: If the converter fails.
    """
    with tempfile.TemporaryDirectory() as folder:
        raw = Path(folder) / "raw.onnx"
        arguments = [str(source), str(raw), "--opset", str(opset), "--import", *modules]
        arguments += [] if batch is None else ["--batch", str(batch)]
        child = subprocess.run(
            [sys.executable, "-m", "export.convert", *arguments],
            env={**os.environ, **_CHILD_ENVIRONMENT, "PYTHONPATH": os.pathsep.join(sys.path)},
            capture_output=True,
            text=True,
        )
        if child.returncode != 0:
            raise _error_of(child, raw)
        return onnx.load(raw)


def _error_of(child, raw):
    """Rebuilds the error that the child left in place of a model; any other end is a failure."""
    try:
        error = json.loads(raw.read_text())
    except (OSError, ValueError):
        last_line = child.stderr.strip().rpartition("\n")[2]
        return ConversionError(
            f"The conversion process ended with code {child.returncode}. Its last line: {last_line}"
        )
    kinds = {cls.__name__: cls for cls in ExportError.__subclasses__()}
    return kinds[error["kind"]](error["message"])


def main() -> int:
    """Converts in this process, which must run Keras on TensorFlow."""
    parser = argparse.ArgumentParser()
    parser.add_argument("source", type=Path)
    parser.add_argument("target", type=Path)
    parser.add_argument("--opset", type=int, required=True)
    parser.add_argument("--batch", type=int)
    parser.add_argument("--import", dest="modules", nargs="*", default=[])
    arguments = parser.parse_args()
    for module in arguments.modules:
        importlib.import_module(module)
    try:
        onnx.save(
            _convert_here(arguments.source, arguments.opset, arguments.batch), arguments.target
        )
    except ExportError as error:
        content = {"kind": type(error).__name__, "message": str(error)}
        arguments.target.write_text(json.dumps(content))
        return error.exit_code
    return 0


def _convert_here(source, opset, batch):
    try:
        import tensorflow as tf
        import tf2onnx
    except ModuleNotFoundError as error:
        raise ConversionError(
            f"The conversion needs the package {error.name}, whichever backend runs the model. "
            "Install it with `pip install 'keras-capsules[export]'`."
        ) from error
    from keras.src.export.tf2onnx_lib import patch_tf2onnx

    from export import source as source_model

    patch_tf2onnx()
    model = source_model.load_model(source)
    names = source_model.output_names(model)
    signature = [
        tf.TensorSpec((batch, *tensor.shape[1:]), tensor.dtype, name=name)
        for tensor, name in zip(model.inputs, source_model.input_names(model), strict=True)
    ]

    @tf.function
    def forward(*inputs):
        return dict(zip(names, source_model.call(model, list(inputs)), strict=True))

    captures = forward.get_concrete_function(*signature).graph.captures
    constants = {
        placeholder.name: value.numpy()
        for value, placeholder in captures
        if placeholder.dtype != tf.resource
    }
    errors = _ErrorLog()
    logging.getLogger("tf2onnx").addHandler(errors)
    try:
        proto, _ = tf2onnx.convert.from_function(forward, signature, opset=opset)
    except Exception as error:  # tf2onnx and TensorFlow raise what they like.
        raise ConversionError(f"tf2onnx failed: {type(error).__name__}: {error}") from error
    # tf2onnx writes the file all the same when it cannot convert an operation, and only logs it.
    if errors.messages:
        raise UnsupportedOperationError(
            "tf2onnx cannot convert the model. Replace the layer that uses the operation. "
            "tf2onnx says: " + "; ".join(errors.messages)
        )
    # tf2onnx takes the constants that a layer holds for inputs of the graph.
    for value in [value for value in proto.graph.input if value.name in constants]:
        constant = onnx.numpy_helper.from_array(constants[value.name], value.name)
        proto.graph.initializer.append(constant)
        proto.graph.input.remove(value)
    return proto


class _ErrorLog(logging.Handler):
    def __init__(self):
        super().__init__(level=logging.ERROR)
        self.messages = []

    def emit(self, record):
        self.messages.append(record.getMessage())


if __name__ == "__main__":
    sys.exit(main())
