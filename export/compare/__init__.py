"""Decides whether a file computes the same as the model. As a function, it compares any file.

`python -m export.compare model.keras file.onnx`
"""

import os
import sys
import types
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import keras

    from export.report import ExportReport


class _Compare(types.ModuleType):
    """The package, which can be called."""

    def __call__(
        self,
        model: "keras.Model | str | os.PathLike",
        path: "str | os.PathLike",
        data: dict[str, Any] | None = None,
        input_range: tuple[float, float] = (0.0, 1.0),
    ) -> "ExportReport":
        """Compares a Keras model with an ONNX file that any exporter wrote.

        The verification is that of an export: batches of several sizes, ordinary and extreme
        inputs, onnxruntime's optimizations on and off, and a tolerance from the model's rounding.
        Inputs and outputs belong together by their names, or else by their order.

        Args:
            model: `keras.Model` or the path of a `.keras` file, as in `export.export_onnx`.
            path: Path of the ONNX file. It is only read.
            data: Real inputs, as in `export.export_onnx`.
            input_range: Inputs for a black and a white pixel.

        Returns:
            An `ExportReport`. Its `passed` says whether the file computes what the model does; a
            difference raises no error.

        Raises:
            UsageError: If a path is wrong, or if inputs or outputs do not correspond.
            RefusedInputError: If a file is damaged or unsafe.
            ConversionError: If the model cannot be compared.

        Example:

        >>> model = keras_capsules.create_model("cnn_baseline", size="tiny")
        >>> model.export("theirs.onnx", format="onnx")
        >>> export.compare(model, "theirs.onnx").passed
        True
        """
        from export.any_file import compare_file

        return compare_file(model, path, data, input_range)


sys.modules[__name__].__class__ = _Compare
