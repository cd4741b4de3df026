"""Exports Keras models as ONNX files, which are compared with the model before they are written.

The folders are the steps. `admit` reads a model and refuses unsafe ones, `convert` runs the
converter in another process, `graph` makes the canonical file, `compare` decides whether the file
computes the same as the model, `reduce` makes float16 and int8 files, `targets` checks the needs of
devices, and `report` shows the results. `pipeline` calls these steps in this order. `any_file`
compares files from other exporters, as `export.compare` does. `export.verify` checks the seal that
`compare.seal` makes. `device` and `verify` are single files, which can be copied to devices.
Importing this package loads neither Keras nor a backend nor onnx.
"""

import os
import types
from dataclasses import replace
from typing import TYPE_CHECKING, Any

from export import compare
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

    The file is the same on every backend, byte for byte: the conversion runs under TensorFlow in
    another process, and the comparison on the active backend. The batch axis stays open and is
    called `batch`. The weights are inside the file.

    Args:
        model: `keras.Model`, functional or sequential and in float32, or the path of a `.keras`
            file.
        path: Path of the ONNX file to write. Its folder must exist.
        options: `ExportOptions` to start from, or `None`. Each option may also be given by keyword:
        {options}

    Returns:
        An `ExportReport`.

    Raises:
        ParityError: If the file does not compute the same as the model, or loses more accuracy than
            `max_drop`. The error has the `report`.
        ConversionError: If the model cannot be converted.
        UnsupportedOperationError: If the model needs an operation that the file may not hold.
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
            "`pip install 'keras-capsules[export]'`, or set KERAS_BACKEND to an installed backend."
        ) from error
    return run(model, path, replace(options or ExportOptions(), **changes))


document(export_onnx)


class _Compare(types.ModuleType):
    """The package, which can be called."""

    def __call__(
        self,
        model: "keras.Model | str | os.PathLike",
        path: "str | os.PathLike",
        data: dict[str, Any] | None = None,
        input_range: tuple[float, float] | None = None,
    ) -> "ExportReport":
        """Compares a Keras model with an ONNX file that any exporter wrote.

        The verification is that of an export: batches of several sizes, ordinary and extreme
        inputs, onnxruntime's optimizations on and off, and a tolerance from the model's rounding.
        Inputs and outputs are matched by their names, or else by their order.

        Args:
            model: `keras.Model` or the path of a `.keras` file, as in `export.export_onnx`.
            path: Path of the ONNX file. It is only read.
            data: Real inputs, as in `export.export_onnx`.
            input_range: Inputs for a black and a white pixel. The default is as in an export.

        Returns:
            An `ExportReport`. Its `passed` says whether the file computes the same as the model; a
            difference raises no error.

        Raises:
            UsageError: If a path is wrong, or if inputs or outputs do not correspond.
            RefusedInputError: If a file is damaged or unsafe.
            ConversionError: If the model cannot be compared.

        Example:

        >>> model = keras_capsules.create_model("cnn_baseline", size="tiny")
        >>> scores = model(np.zeros((1, 28, 28, 1), "float32"))
        >>> model.export("theirs.onnx", format="onnx", verbose=False)
        >>> export.compare(model, "theirs.onnx").passed
        True
        """
        from export.any_file import compare_file

        return compare_file(model, path, data, input_range)


# `export.compare` is both a package and a function.
setattr(compare, "__class__", _Compare)  # noqa: B010

__all__ = [
    "ConversionError",
    "ExportError",
    "ExportOptions",
    "ExportReport",
    "ParityError",
    "RefusedInputError",
    "UnsupportedOperationError",
    "UsageError",
    "compare",
    "export_onnx",
]
