"""Says which operations the converter cannot write, why, and what to do instead."""

import logging
from typing import Any

from export.convert.operations.build import CannotConvertError

_FOURIER = (
    "ONNX has a Fourier transform from opset 17 on, which few runtimes have",
    "Multiply by constant matrices of cosines and sines with keras.ops.matmul",
)
_SOLVED = (
    "ONNX has no operation of linear algebra but products and determinants",
    "Compute it outside of the model, and give it to the model as an input",
)
_WORDS = (
    "ONNX files on devices take numbers only",
    "Turn words and classes into numbers before the model",
)
_OTHER = (
    "ONNX has no such operation, and the export has no other way to write it",
    "Replace the layer by one built of matrix products, convolutions, reductions and element-wise "
    "operations",
)
_RANDOM = (
    "Random numbers differ each time, so that nothing can be compared",
    "Draw them if training is true only, or give them to the model as an input",
)
_COMPLEX = ("Complex", "ComplexAbs", "Imag", "Real")
_KINDS = {
    _FOURIER: ("FFT", "FFT2D", "IFFT", "IFFT2D", "IRFFT", "RFFT", *_COMPLEX),
    _RANDOM: (
        "RandomUniform",
        "StatelessRandomNormalV2",
        "StatelessRandomUniformIntV2",
        "StatelessRandomUniformV2",
        "StatelessTruncatedNormalV2",
    ),
    _SOLVED: (
        "Cholesky",
        "Eig",
        "LogMatrixDeterminant",
        "MatrixInverse",
        "MatrixSolve",
        "MatrixTriangularSolve",
        "Qr",
        "SelfAdjointEigV2",
        "Svd",
    ),
    _WORDS: (
        "AsString",
        "LookupTableFindV2",
        "SparseCross",
        "StringToHashBucketFast",
        "StaticRegexReplace",
    ),
}
_ADVICE = {operation: kind for kind, operations in _KINDS.items() for operation in operations}


def explain(records: list[logging.LogRecord]) -> str:
    """Returns a message for the errors that tf2onnx logged instead of raising them."""
    lines = {}
    for record in records:
        arguments: Any = record.args
        if record.msg.startswith("Tensorflow op"):
            path, operation = arguments
            lines.setdefault(operation, _line(path, operation, _ADVICE.get(operation, _OTHER)))
        elif record.exc_info:
            path, operation = arguments[0], _operation_of(arguments[2])
            lines.setdefault(operation, _line(path, operation, _advice(operation, record)))
        elif not record.msg.startswith("Unsupported ops"):
            lines.setdefault(record.getMessage(), record.getMessage())
    return "The model has operations that the file cannot have. " + " ".join(lines.values())


def _advice(operation, record):
    error = record.exc_info[1]
    if isinstance(error, CannotConvertError):
        return error.reason, error.remedy
    reason = str(error).partition("\n")[0].removesuffix(".")
    return _ADVICE.get(operation, (f"It cannot be converted here: {reason}", _OTHER[1]))


def _line(path, operation, advice):
    """Names the operation by its path of layers, without the model's name and its own."""
    layers = "/".join(path.split("/")[1:-1])
    where = f"in the layer {layers}" if layers else "in an operation of keras.ops"
    reason, remedy = advice
    return f"{operation} {where}: {reason}. {remedy}."


def _operation_of(summary):
    """Returns the TensorFlow operation of a node from tf2onnx's summary of the node."""
    return summary.partition("OP=")[2].partition("\n")[0]
