"""Exports Keras models as ONNX files that are compared with the model before they are written.

The folders are the steps: `admit` reads a model and refuses what is unsafe; `convert` runs the
converter in another process; `graph` makes the canonical file; `compare` decides whether it
computes the same; `reduce` makes float16 and int8; `targets` checks what devices need; `report`
shows the results. `pipeline` calls them in this order, `seal` adds what `export.verify` checks.
`device` and `verify` are whole in one file, for devices. Importing this package loads neither
Keras nor a backend nor onnx.
"""

import os
from dataclasses import replace
from typing import TYPE_CHECKING, Any

from export.errors import (
    ConversionError,
    ExportError,
    ParityError,
    RefusedInputError,
    UnsupportedOperationError,
    UsageError,
)
from export.options import ExportOptions, document
from export.report import ExportReport

if TYPE_CHECKING:
    import keras


def export_onnx(
    model: "keras.Model | str | os.PathLike",
    path: "str | os.PathLike",
    options: ExportOptions | None = None,
    **changes: Any,
) -> ExportReport:
    """Converts a Keras model to ONNX, compares the two, and writes the file if they agree.

    The file is the same, byte for byte, whichever backend asks for it: the conversion runs under
    TensorFlow in another process, the comparison on the backend that is active here. The batch axis
    stays open and is called `batch`; weights are inside the file.

    Args:
        model: `keras.Model`, functional or sequential and in float32, or the path of a `.keras`
            file.
        path: Path of the ONNX file to write. Its folder must exist.
        options: `ExportOptions` to start from, or `None`. Each may also be given by keyword:
        {options}

    Returns:
        An `ExportReport`.

    Raises:
        ParityError: If the file computes something else than the model, or loses more accuracy
            than `max_drop`; it carries the `report`.
        ConversionError: If the model cannot be converted.
        UnsupportedOperationError: If it needs an operation that the file may not hold.
        RefusedInputError: If the model file is damaged or unsafe.
        UsageError: If a path or an option is wrong.

    Example:

    >>> model = keras_capsules.create_model("capsnet", filters=16, primary_capsules=2)
    >>> export.export_onnx(model, "digits.onnx", labels=list("0123456789")).passed
    True
    """
    try:
        from export.pipeline import run
    except ModuleNotFoundError as error:
        raise UsageError(
            f"The export needs the package {error.name}. Install it with "
            "`pip install 'keras-capsules[export]'`, or set KERAS_BACKEND to a backend you have."
        ) from error
    return run(model, path, replace(options or ExportOptions(), **changes))


document(export_onnx)

__all__ = [
    "ConversionError",
    "ExportError",
    "ExportOptions",
    "ExportReport",
    "ParityError",
    "RefusedInputError",
    "UnsupportedOperationError",
    "UsageError",
    "export_onnx",
]
