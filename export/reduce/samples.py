"""Chooses the samples on which a file of reduced precision is calibrated and judged."""

import json
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

import keras
import numpy as np

from export import keras_model
from export.compare.accepted import random_inputs
from export.compare.suites import Suite, in_suite
from export.errors import UsageError
from export.options import ExportOptions
from export.results import Kind
from export.task import LABELS, Task

CALIBRATION_SAMPLES = 256
"""Number of samples on which int8 is calibrated, at most half of the data."""
_RANDOM_SAMPLES = 512


@dataclass(frozen=True)
class Samples:
    """Samples for the comparison of labels.

    Attributes:
        inputs: Array `(samples, ...)` for each of the model's inputs.
        truth: Right answers, see `Task.answers`, or `None`.
        criterion: The counted property and the samples, in words.
        calibration: Other inputs for the calibration of int8, or none.
    """

    inputs: list[np.ndarray]
    truth: np.ndarray | None
    criterion: str
    calibration: Sequence[np.ndarray] = ()

    def suite(self, model: keras.Model, batch: int | None) -> Suite:
        """Returns the inputs in batches, filled up if only one batch size is possible."""
        return in_suite(model, Kind.LABELS, self.inputs, batch)

    def metadata(self, options: ExportOptions) -> dict[str, str]:
        """Returns the properties to store in a file of reduced precision."""
        verification = {"verdict": "passed", "max_drop": float(options.max_drop)}
        verification["criterion"] = self.criterion
        return {"precision": options.precision, "verification": json.dumps(verification)}


def choose_samples(
    model: keras.Model,
    data: dict[str, Any] | None,
    input_range: tuple[float, float],
    task: Task,
    calibrated: bool = False,
    shapes: list[tuple] | None = None,
) -> Samples:
    """Returns the samples for the judgement of a file: the data, or random inputs without data.

    Args:
        model: The Keras model.
        data: Real inputs by name and the array `labels` if there is one, or `None`.
        input_range: Pair of floats between which inputs usually lie.
        task: What the scores mean.
        calibrated: Whether to reserve a part of the data for the calibration, the same each time.

        shapes: Shape of one random sample of each input, if axes are open.

    Raises:
        UsageError: If the labels of the data do not fit.
    """
    index, names = keras_model.scored_output(model), keras_model.input_names(model)
    if data is None:
        known = [tuple(tensor.shape[1:]) for tensor in model.inputs]
        return _random_samples(model, shapes or known, input_range)
    inputs = [
        np.asarray(data[name], tensor.dtype)
        for name, tensor in zip(names, model.inputs, strict=True)
    ]
    chosen = Samples(inputs, None, "agreement with the model on the {:,} samples of the data")
    if LABELS in data and LABELS not in names:
        truth = np.asarray(data[LABELS])
        shape = (len(inputs[0]), *model.outputs[index].shape[1:])
        truth = task.truth(truth, tuple(own or size for own, size in _open(shape, truth.shape)))
        criterion = f"{task.counted} on the {{:,}} labelled samples of the data"
        chosen = Samples(inputs, truth, criterion)
    if calibrated:
        if not all(np.isfinite(np.asarray(array, "float64")).all() for array in inputs):
            raise UsageError(
                "int8 is calibrated on the ranges of the data, which have NaN or infinity. Pass "
                "data without them."
            )
        chosen = _set_aside(chosen)
    return replace(chosen, criterion=chosen.criterion.format(len(chosen.inputs[0])))


def _random_samples(model, shapes, input_range):
    inputs = random_inputs(model, shapes, _RANDOM_SAMPLES, input_range)
    criterion = f"agreement with the model on {_RANDOM_SAMPLES} random inputs, without --data"
    return Samples(inputs, None, criterion)


def _set_aside(samples):
    """Divides samples into some for the calibration and the rest."""
    count = len(samples.inputs[0])
    if count < 2:
        raise UsageError(
            "int8 is calibrated on a part of the data and judged on the rest, so it needs 2 "
            f"samples or more, preferably hundreds. Received: {count}"
        )
    drawn = np.random.default_rng(0).permutation(count)[: min(CALIBRATION_SAMPLES, count // 2)]
    rest = np.setdiff1d(np.arange(count), drawn)
    return Samples(
        inputs=[array[rest] for array in samples.inputs],
        truth=None if samples.truth is None else samples.truth[rest],
        criterion=f"{samples.criterion} that it was not calibrated on",
        calibration=[array[np.sort(drawn)] for array in samples.inputs],
    )


def _open(shape, given):
    """Pairs the sizes of scores with those of right answers, which open axes take over."""
    return zip(shape, (*given, *[1] * (len(shape) - len(given))), strict=False)
