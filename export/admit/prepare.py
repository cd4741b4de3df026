"""Turns a model or path into a checked Keras model with the changes of the options."""

import os
from dataclasses import dataclass
from pathlib import Path

import keras

from export import keras_model
from export.admit import load
from export.admit.preprocessing import with_preprocessing
from export.errors import UsageError
from export.options import ExportOptions
from keras_capsules.explain import explained_model


@dataclass(frozen=True)
class Prepared:
    """Model to convert.

    Attributes:
        name: Name in reports: the path, or the model's name if the model was passed.
        model: The model.
        folder: Path of a folder with the saved and unpacked model, for other processes.
        modules: Modules that register the model's custom classes.
    """

    name: str
    model: keras.Model
    folder: Path
    modules: list[str]


def prepare(model, target: Path, folder: Path, options: ExportOptions) -> Prepared:
    """Reads, checks and changes a model.

    Args:
        model: `keras.Model` or path, as in `export.export_onnx`. The model is not changed.
        target: Path of the ONNX file to write.
        folder: Path of a folder to write to.
        options: Options of the export.

    Raises:
        UsageError, RefusedInputError, ConversionError: If the model cannot be exported.
    """
    if not isinstance(model, (keras.Model, str, os.PathLike)):
        raise UsageError(
            f"Pass a keras.Model or the path of a .keras file. Received: {type(model).__name__}"
        )
    if isinstance(model, keras.Model):
        keras_model.check_exportable(model)
        name, saved = model.name, _save(model, folder / "model.keras")
    else:
        name, saved = str(model), Path(model)
        if saved.resolve() == target.resolve():
            raise UsageError(f"{target} is the model. Pass another path for the ONNX file.")
    unpacked, modules = _unpack(saved, folder / "model")
    changed = options.outputs or options.preprocess
    if changed or not isinstance(model, keras.Model):
        model = load.load_model(unpacked, name)
        keras_model.check_exportable(model)
    if changed:
        model = _change(model, options)
        unpacked, modules = _unpack(_save(model, folder / "changed.keras"), folder / "changed")
    return Prepared(name, model, unpacked, modules)


def _change(model, options):
    if options.outputs:
        try:
            model = explained_model(model, options.outputs)
        except ValueError as error:
            raise UsageError(str(error)) from error
    return with_preprocessing(model, options) if options.preprocess else model


def _save(model, path):
    model.save(path)
    return path


def _unpack(saved, folder):
    folder.mkdir()
    return folder, load.unpack(saved, folder)
