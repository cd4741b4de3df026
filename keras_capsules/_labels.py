"""Reads labels as Keras users have them: numbers of classes, one-hot or multi-hot."""

from typing import Any, NamedTuple

import keras
import numpy as np
from keras import ops

# Beyond this, these types do not hold every whole number.
_EXACT = {"bfloat16": 2**8, "float16": 2**11}


class Compared(NamedTuple):
    """What a loss or metric compares.

    Attributes:
        labels: Tensor `(batch, num_classes)`. One where a class is present, zero elsewhere.
        scores: Tensor of the same shape and dtype.
        fault: Tensor `(batch,)`, or zero. NaN where a label is not the number of a class. Added to
            a loss it tells of such labels, and leaves the gradient finite.
    """

    labels: Any
    scores: Any
    fault: Any


def labels_and_scores(name: str, y_true: Any, y_pred: Any) -> Compared:
    """Returns labels and scores of one shape.

    Labels of the scores' shape are one-hot or multi-hot. Without the last axis, or with size one
    there, they are numbers of classes. Labels for a single column of scores are its presence.

    Args:
        name: String. Who compares, in messages.
        y_true: Labels.
        y_pred: Scores `(batch, num_classes)`, or with further axes between.

    Raises:
        ValueError: If the shapes do not fit, or if a label is not the number of a class and its
            value is known, which it is not while a compiled function is made.
    """
    y_pred = ops.convert_to_tensor(y_pred)
    y_true = ops.convert_to_tensor(y_true)
    classes, positions = tuple(y_pred.shape[1:]), tuple(y_pred.shape[1:-1])
    shape = tuple(y_true.shape[1:])
    if len(y_true.shape) > 0 and _is_open(shape, classes):
        # The width of the labels is known at run time only: it must be that of the scores.
        y_true, shape = ops.reshape(y_true, ops.shape(y_pred)), classes
    if not classes or len(y_true.shape) == 0 or shape not in (classes, positions, (*positions, 1)):
        raise ValueError(
            f"{name} compares labels with the scores of classes, (batch, num_classes). Labels are "
            "numbers of classes, (batch,) or (batch, 1), or one-hot or multi-hot, "
            "(batch, num_classes). Maps have the height and width of the scores' maps. "
            f"Received: y_true.shape={tuple(y_true.shape)}, y_pred.shape={tuple(y_pred.shape)}"
        )
    if shape == positions:
        y_true = ops.expand_dims(y_true, -1)
    if classes[-1] == 1:
        return _presence(name, y_true, y_pred)
    if shape == classes:
        return Compared(ops.cast(y_true, y_pred.dtype), y_pred, 0.0)
    return _one_hot(name, y_true, y_pred)


def values_of(tensor: Any) -> np.ndarray | None:
    """Returns the values of a tensor, or `None` while a compiled function is made."""
    try:
        return ops.convert_to_numpy(tensor)
    except (AttributeError, NotImplementedError, RuntimeError, TypeError, ValueError):
        return None


def _is_open(shape, classes):
    """Whether labels have the rank of the scores, and a number of classes that is not known."""
    return len(shape) == len(classes) > 0 and shape[-1] is None and classes[-1] is not None


def _presence(name, labels, scores):
    """Compares the presence `(..., 1)` of a single class, from 0 to 1."""
    values = values_of(labels)
    if values is not None and not ((values >= 0) & (values <= 1)).all():
        wrong = values[~((values >= 0) & (values <= 1))]
        raise ValueError(
            f"{name} compares a single column of scores with the presence of its class, from 0 to "
            f"1. Give the model a column for each class. Received: the label {wrong[0]:g}"
        )
    labels = ops.cast(labels, scores.dtype)
    inside = ops.logical_and(labels >= 0, labels <= 1)
    fault = ops.where(ops.all(inside, axis=-1), 0.0, float("nan"))
    return Compared(labels, scores, ops.cast(fault, scores.dtype))


def _one_hot(name, numbers, scores):
    """Compares numbers `(..., 1)` with those of the classes."""
    classes = scores.shape[-1]
    dtype = keras.backend.standardize_dtype(numbers.dtype)
    if classes > _EXACT.get(dtype, classes):
        raise ValueError(
            f"{name} cannot distinguish the numbers of {classes} classes in {dtype}. Pass it "
            f"`dtype='float32'`, or one-hot labels. Received: labels in {dtype}"
        )
    values = values_of(numbers)
    if values is not None:
        _check(name, values, classes)
    one_hot = ops.equal(ops.cast(numbers, "float32"), ops.arange(classes, dtype="float32"))
    fault = ops.where(ops.any(one_hot, axis=-1), 0.0, float("nan"))
    return Compared(ops.cast(one_hot, scores.dtype), scores, ops.cast(fault, scores.dtype))


def _check(name, values, classes):
    wrong = values[~np.isin(values, np.arange(classes))]
    if wrong.size:
        raise ValueError(
            f"{name} found {wrong.size} of {values.size} labels that are not the number of a "
            f"class: there are {classes} classes, 0 to {classes - 1}. Correct the labels, or build "
            f"the model with more classes. Received: the label {wrong[0]:g}"
        )
