"""Checks the labels and the data that the user passes for a model."""

from collections.abc import Mapping, Sequence
from typing import Any

import keras
import numpy as np

from export import keras_model
from export.errors import UsageError
from export.task import LABELS


def check_labels(model: keras.Model, labels: Sequence[str] | None) -> None:
    """Raises a `UsageError` unless there is one label for each column of the scores."""
    names, scored = keras_model.output_names(model), keras_model.scored_output(model)
    columns = model.outputs[scored].shape[-1] if model.outputs[scored].shape else 1
    classes = 2 if columns == 1 else columns  # One score tells two classes apart.
    if labels is not None and len(labels) not in (classes, columns):
        raise UsageError(
            f"The output {names[scored]!r} has {columns} columns, so there must be {classes} "
            f"labels. Received: {len(labels)} labels, {', '.join(map(str, labels[:12]))}"
        )


def checked_data(model: keras.Model, data: dict[str, Any] | None) -> dict[str, np.ndarray] | None:
    """Returns the data as arrays.

    Raises:
        UsageError: If the data do not fit the inputs of the model.
    """
    if data is not None and not isinstance(data, Mapping):
        raise UsageError(
            "The data are a dictionary, {input name: array, 'labels': array}. "
            f"Received: {type(data).__name__}"
        )
    if not data:
        return None
    arrays = {name: np.asarray(array) for name, array in data.items()}
    names = keras_model.input_names(model)
    kinds = {name: arrays[name].dtype for name in (*names, LABELS) if name in arrays}
    if any(kind.kind not in "fiubV" or kind.fields for kind in kinds.values()):
        raise UsageError(f"The data must be arrays of numbers. Received: {kinds}")
    expected = {name: tuple(x.shape[1:]) for name, x in zip(names, model.inputs, strict=True)}
    received = {name: tuple(array.shape) for name, array in arrays.items()}
    samples = {shape[0] for name, shape in received.items() if name in expected and shape}
    fits = all(_fits(received.get(name, ())[1:], shape) for name, shape in expected.items())
    if not fits or len(samples) != 1 or 0 in samples:
        raise UsageError(
            "The data must have an array for each input: the same number of samples, then "
            f"the shape of one: {expected}. Received: {received}"
        )
    for name, tensor in zip(names, model.inputs, strict=True):
        if tensor.dtype == "uint8" and arrays[name].dtype != "uint8":
            raise UsageError(
                f"The input {name!r} takes raw pixels from 0 to 255, so its data must be uint8. "
                f"Received: {arrays[name].dtype}"
            )
    return arrays


def _fits(received, expected):
    """Returns whether a shape is the expected one, which may have open axes."""
    return len(received) == len(expected) and all(
        own in (None, size) for size, own in zip(received, expected, strict=True)
    )
