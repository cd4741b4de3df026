"""Turns a model or path into a checked Keras model with the changes of the options."""

import json
import math
import os
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import keras

from export import keras_model
from export.admit import archive, load
from export.admit.functional import functional_forms, has_open_graph
from export.admit.input_range import input_range
from export.admit.inputs import checked_data
from export.admit.precision import default_precision, policies, with_precision
from export.admit.preprocessing import with_preprocessing
from export.errors import ConversionError, UsageError, in_words
from export.options import ExportOptions
from keras_capsules import _graph
from keras_capsules.explain import explained_model

_SECONDS, _SECONDS_OF_VALUE = 15, 1e-7  # A large network takes a tenth of it.
_MAX_BATCH = 1 << 30  # Values of all layers, which are 4 GiB.


@dataclass(frozen=True)
class Prepared:
    """Model to convert.

    Attributes:
        name: Name in reports: the path, or the model's name if the model was passed.
        model: The model, which computes in float32.
        folder: Path of a folder with the saved and unpacked model, for other processes.
        mixed: The model as it was passed if it computes in another precision, else `None`.
        policies: Names of the precisions in which the model was made to compute.
        input_range: Inputs for a black and a white pixel, before the preprocessing of the options.
        seconds: The time that the model may take for one sample. It is limited for a file's model.
    """

    name: str
    model: keras.Model
    folder: Path
    mixed: keras.Model | None = None
    policies: tuple[str, ...] = ()
    input_range: tuple[float, float] = (0.0, 1.0)
    seconds: float = math.inf


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
    saved, seconds = None, math.inf
    if isinstance(model, keras.Model):
        name = model.name
    else:
        name, path = str(model), Path(model)
        if os.path.realpath(path) == os.path.realpath(target):
            raise UsageError(f"{target} is the model. Pass another path for the ONNX file.")
        saved = _unpacked(path, folder / "file", None)
        model = saved.load(name)
        seconds = _SECONDS + _SECONDS_OF_VALUE * keras_model.values_of_sample(model)
    classes = _graph.classes(model)
    if not has_open_graph(model) or options.input_shapes is not None:
        model, saved = _made_functional(model, folder, classes, options)
    keras_model.check_exportable(model)
    _check_batch(model, options.batch)
    if saved is None:
        saved = _saved(model, folder / "model", classes)
    mixed, former = None, saved.use_float32()
    if former:
        with default_precision("float32"):
            mixed, model = model, saved.load(name)
    data = None if options.preprocess else checked_data(model, options.data)
    options = replace(options, input_range=input_range(model, options, data))
    if options.outputs or options.preprocess:
        # The original keeps its graph: the change may add to its layers.
        model = _change(saved.load(name), options)
        saved = _saved(model, folder / "changed", classes)
    return Prepared(name, model, saved.folder, mixed, former, options.limits, seconds)


def _check_batch(model, batch):
    """Raises a `UsageError` for a batch of which the values would not fit a machine."""
    values = keras_model.values_of_sample(model)
    if batch is not None and batch > 1 and batch * values > _MAX_BATCH:
        raise UsageError(
            f"The layers make {values} values of a sample, and at most {_MAX_BATCH} of a batch can "
            f"be compared. Pass a smaller batch. Received: batch={batch}"
        )


@dataclass(frozen=True)
class _Unpacked:
    folder: Path
    objects: dict[str, Any]
    trusted: bool

    def load(self, name: str) -> keras.Model:
        return load.load_model(self.folder, name, self.objects, self.trusted)

    def use_float32(self) -> tuple[str, ...]:
        """Changes the precision in the stored configuration, and returns the former policies."""
        path = self.folder / archive.CONFIG
        config = json.loads(path.read_bytes())
        changed = with_precision(config, "float32")
        if changed == config:
            return ()
        path.write_text(json.dumps(changed))
        return tuple(sorted(policies(config) - policies(changed))) or ("casts",)


def _made_functional(model, folder, classes, options):
    """Returns a model as a functional one that Keras can save, and what it saved."""
    reasons = []
    for number, make in enumerate(functional_forms(model, options.input_shapes)):
        try:
            functional = make()
            saved = _saved(functional, folder / f"functional_{number}", classes)
            return saved.load(model.name), saved
        except Exception as error:  # The user's code may raise any class.
            reasons.append(in_words(error))
    raise ConversionError(
        f"The model {model.name!r} is a {type(model).__name__} that Keras can neither record as a "
        "graph nor save. Build it of Keras layers and keras.ops, and give it and its layers a "
        f"get_config. As a graph: {reasons[0]} As a layer: {reasons[1]}"
    )


def _change(model, options):
    if options.outputs:
        try:
            model = explained_model(model, options.outputs)
        except ValueError as error:
            raise UsageError(str(error)) from error
    return with_preprocessing(model, options) if options.preprocess else model


def _saved(model, folder, classes):
    path = folder.with_suffix(".keras")
    model.save(path)
    return _unpacked(path, folder, classes)


def _unpacked(path, folder, classes):
    folder.mkdir()
    return _Unpacked(folder, load.unpack(path, folder, classes), trusted=classes is not None)
