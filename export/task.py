"""Knows what the scores of a model mean: how they are read, and when they are right."""

import math
from dataclasses import dataclass

import keras
import numpy as np

from export import keras_model
from export.errors import UsageError
from export.options import ExportOptions
from keras_capsules import _graph

LABELS = "labels"
"""Name of the array of right answers, which the data may have besides the inputs."""

_ACTIVATIONS = ("softmax", "sigmoid")
_COUNTED = {
    "classes": "accuracy",
    "labels": "share of right yes or no answers, one for each label,",
    "binary": "accuracy",
    "regression": "100 % less the error in units of the answers' standard deviation,",
    "segmentation": "mean intersection over union of the classes",
}


@dataclass(frozen=True)
class Task:
    """What the scores of a model mean.

    Attributes:
        kind: One of `export.options.TASKS`.
        threshold: Smallest score of a label that is present.
    """

    kind: str
    threshold: float = 0.5

    @property
    def counted(self) -> str:
        """What `score` returns, in words."""
        return _COUNTED[self.kind]

    def answers(self, scores: np.ndarray) -> np.ndarray:
        """Returns the answers that scores `(samples, ...)` stand for.

        They are numbers of classes, for each pixel in a segmentation; or whether a label is
        present; or the scores themselves.
        """
        if self.kind == "regression":
            return scores.astype("float64")
        if self.kind == "labels":
            return scores >= self.threshold
        if self.kind == "binary" or scores.shape[-1] == 1:
            return scores.reshape(scores.shape[: max(1, scores.ndim - 1)]) >= self.threshold
        return scores.argmax(axis=-1)

    def score(self, answers: np.ndarray, truth: np.ndarray) -> float:
        """Returns in percent how right the answers are, where 100 is perfect."""
        if self.kind == "regression":
            error = np.sqrt(np.mean((answers - truth) ** 2))
            return float(100 * (1 - error / (truth.std() or 1.0)))
        if self.kind != "segmentation":
            return float(100 * np.mean(answers == truth))
        shares = [
            np.sum((answers == label) & (truth == label))
            / np.sum((answers == label) | (truth == label))
            for label in np.unique(truth)
        ]
        return float(100 * np.mean(shares))

    def truth(self, array: np.ndarray, shape: tuple[int, ...]) -> np.ndarray:
        """Returns right answers as `answers` has them.

        Args:
            array: Right answers. Classes are whole numbers, or one-hot.
            shape: Shape of the scores of the same samples.

        Raises:
            UsageError: If they do not fit.
        """
        if array.shape == (*shape[:-1], 1) and self.kind != "regression":
            array = array[..., 0]
        whole = array.dtype.kind in "iub" or array.shape == shape
        if self.kind == "regression" and array.size == np.prod(shape):
            return array.reshape(shape).astype("float64")
        if self.kind == "labels" and array.shape == shape and set(np.unique(array)) <= {0, 1}:
            return array.astype(bool)
        if self.kind == "binary" and array.shape == shape[:1] and set(np.unique(array)) <= {0, 1}:
            return array.astype(bool)
        if self.kind in ("classes", "segmentation") and whole:
            classes = max(2, shape[-1])
            if array.shape == shape and shape[-1] > 1:
                return array.argmax(axis=-1)
            if array.shape == shape[:-1] and 0 <= array.min() and array.max() < classes:
                return array
        raise UsageError(
            f"The array {LABELS!r} of the data must have the right label of each sample, for the "
            f"task {self.kind!r} and scores of shape {shape}: {_EXPECTED[self.kind]}. "
            f"Received: shape {array.shape}, {array.dtype}"
        )


_EXPECTED = {
    "classes": "whole numbers from 0 on, or one-hot rows",
    "labels": "0 or 1 for each label",
    "binary": "0 or 1",
    "regression": "a number for each score",
    "segmentation": "the whole number of the class of each pixel, or one-hot",
}


def task_of(model: keras.Model, options: ExportOptions) -> Task:
    """Returns the task of the scored output.

    Without the option `task`, the last activation decides. A sigmoid of one column is binary, of
    several columns it is for several labels at once. One column without an activation is a
    regression. Outputs of more axes than three are a segmentation, and all others are classes.
    """
    if not math.isfinite(options.threshold):
        raise UsageError(f"The threshold must be finite. Received: {options.threshold}")
    scores = model.outputs[keras_model.scored_output(model)]
    return Task(options.task or _recognised(scores), options.threshold)


def _recognised(scores):
    if len(scores.shape) > 3:
        return "segmentation"
    columns = scores.shape[-1] if len(scores.shape) > 1 else 1
    activation = _activation(scores)
    if activation == "sigmoid":
        return "binary" if columns == 1 else "labels"
    return "regression" if columns == 1 and activation is None else "classes"


def _activation(tensor):
    """Returns the name of the activation that a tensor comes from, or `None`."""
    operation = _graph.producer(tensor).operation
    if _graph.is_graph(operation):
        return _activation(operation.outputs[0])
    function = getattr(operation, "activation", None)
    names = (getattr(function, "__name__", ""), type(operation).__name__.lower())
    return next((name for name in names if name in _ACTIVATIONS), None)
