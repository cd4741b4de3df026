"""Provides losses on the activations of class capsules."""

import warnings
from typing import Any

import keras
import numpy as np
from keras import ops

from keras_capsules._labels import labels_and_scores, values_of

# Scores of fewer classes have softmax's gradient too, but it is not yet small.
MANY_CLASSES = 10
ROUNDING = 1e-3


class CapsuleLoss(keras.losses.Loss):
    """Base of the losses for activations in [0, 1], which warns of others once if it sees them."""

    _has_seen_values = False

    def warn_of_misfit(self, y_pred):
        """Warns of scores that the loss is not made for, in the first call that has values."""
        scores = None if self._has_seen_values else values_of(y_pred)
        if scores is None:
            return
        self._has_seen_values = True
        message = misfit(self, scores)
        if message:
            warnings.warn(message, stacklevel=2)


@keras.saving.register_keras_serializable(package="keras_capsules")
class MarginLoss(CapsuleLoss):
    """Penalizes short capsules of present classes and long capsules of absent classes.

    `loss = sum_k T_k * relu(0.9 - score_k)**2 + 0.5 * (1 - T_k) * relu(score_k - 0.1)**2`

    The loss is summed over the classes and averaged over the batch, and over the pixels if each
    pixel has scores, as in `keras_capsules.models.segcaps`. Several classes may be present at once.

    A label that is not a class number, such as -1, is an error where the loss sees values. In a
    compiled step the loss of its batch is NaN, and the sample has no gradient.

    Logits do not fit, nor does a softmax over more than ten classes, whose gradient is small. The
    loss warns of them at the first batch whose values it sees: always under PyTorch, and elsewhere
    with `run_eagerly=True`, since a compiled step has no values. `keras_capsules.CapsuleHealth`
    warns on every backend.

    Args:
        positive_margin: Float in [0, 1]. Length that a present class should reach. Defaults to
            `0.9`.
        negative_margin: Float in [0, 1]. Length that an absent class should stay under. Defaults
            to `0.1`.
        negative_weight: Float. Weight of the absent classes. A weight below one prevents these
            classes from shrinking all capsules early in training. Defaults to `0.5`.

    Call arguments:
        y_true: Class numbers, `(batch,)` or `(batch, 1)`, or one-hot or multi-hot
            `(batch, num_classes)`, of any dtype. With a single column of scores `(batch, 1)`, they
            say whether the class is present. For scores of pixels, maps of numbers
            `(batch, height, width)`, or one-hot `(batch, height, width, num_classes)`.
        y_pred: Tensor `(batch, num_classes)`, or `(batch, height, width, num_classes)`. Lengths of
            the class capsules.

    Raises:
        ValueError: If the shapes do not fit, or if a label is not the number of a class.

    Example:

    >>> loss = keras_capsules.MarginLoss()
    >>> float(loss([[1.0, 0.0]], [[0.7, 0.3]]))  # 0.2**2 + 0.5 * 0.2**2
    0.06

    Reference:
        Sabour, Frosst, Hinton, 2017, arXiv 1710.09829, equation 4.
        LaLonde, Bagci, 2018, arXiv 1804.04241 (by pixel).
    """

    def __init__(
        self,
        positive_margin: float = 0.9,
        negative_margin: float = 0.1,
        negative_weight: float = 0.5,
        reduction="sum_over_batch_size",
        name="margin_loss",
        dtype=None,
    ):
        super().__init__(name=name, reduction=reduction, dtype=dtype)
        self.positive_margin = positive_margin
        self.negative_margin = negative_margin
        self.negative_weight = negative_weight

    def call(self, y_true, y_pred):
        y_true, y_pred, fault = labels_and_scores("MarginLoss", y_true, y_pred)
        self.warn_of_misfit(y_pred)
        present = y_true * ops.square(ops.relu(self.positive_margin - y_pred))
        absent = (1.0 - y_true) * ops.square(ops.relu(y_pred - self.negative_margin))
        return ops.sum(present + self.negative_weight * absent, axis=-1) + fault

    def get_config(self):
        return {
            **super().get_config(),
            "positive_margin": self.positive_margin,
            "negative_margin": self.negative_margin,
            "negative_weight": self.negative_weight,
        }


@keras.saving.register_keras_serializable(package="keras_capsules")
class SpreadLoss(CapsuleLoss):
    """Penalizes each wrong class that comes within a margin of the right class.

    `loss = sum_{i != t} relu(margin - (score_t - score_i))**2`, t being the right class

    The loss is summed over the wrong classes and averaged over the batch. A wide margin from the
    start leaves capsules dead. `keras_capsules.SpreadMarginSchedule` therefore widens the margin
    from 0.2 to 0.9 during `model.fit`.

    A label that is not a class number is treated as by `MarginLoss`.

    Logits do not fit, nor does a softmax over more than ten classes, whose gradient is small. The
    loss warns of them at the first batch whose values it sees: always under PyTorch, and elsewhere
    with `run_eagerly=True`, since a compiled step has no values. `keras_capsules.CapsuleHealth`
    warns on every backend, and so does `SpreadMarginSchedule` if the last layer has no activation.

    Args:
        margin: Float in (0, 1]. Lead that the right class should have. Defaults to `0.2`.

    Call arguments:
        y_true: Class numbers, `(batch,)` or `(batch, 1)`, or one-hot `(batch, num_classes)`:
            exactly one class is right.
        y_pred: Tensor `(batch, num_classes)` in [0, 1]. Activations of the class capsules.

    Raises:
        ValueError: If `margin` is out of range, if the shapes do not fit, or if a label is not the
            number of a class.

    Example:

    >>> loss = keras_capsules.SpreadLoss(margin=0.5)
    >>> float(loss([[1.0, 0.0, 0.0]], [[0.7, 0.4, 0.1]]))  # (0.5 - 0.3)**2
    0.04

    Reference:
        Hinton, Sabour, Frosst, ICLR 2018, "Matrix capsules with EM routing", equation 3.
    """

    def __init__(
        self,
        margin: float = 0.2,
        reduction="sum_over_batch_size",
        name="spread_loss",
        dtype=None,
    ):
        if not 0 < margin <= 1:
            raise ValueError(
                "`margin` is a difference of activations and must be in (0, 1]. "
                f"Received: margin={margin!r}"
            )
        super().__init__(name=name, reduction=reduction, dtype=dtype)
        self.margin = margin

    def call(self, y_true, y_pred):
        y_true, y_pred, fault = labels_and_scores("SpreadLoss", y_true, y_pred)
        self.warn_of_misfit(y_pred)
        right = ops.sum(y_true * y_pred, axis=-1, keepdims=True)
        gap = ops.square(ops.relu(self.margin - (right - y_pred)))
        return ops.sum((1.0 - y_true) * gap, axis=-1) + fault

    def get_config(self):
        return {**super().get_config(), "margin": self.margin}


def misfit(loss: Any, scores: np.ndarray) -> str | None:
    """Returns what to change if scores are not what a loss of this file is made for, or `None`.

    Args:
        loss: A loss of this file; others are not judged.
        scores: Array `(batch, num_classes)`.
    """
    if not isinstance(loss, CapsuleLoss):
        return None
    name, (lowest, highest) = type(loss).__name__, (np.min(scores), np.max(scores))
    if lowest < -ROUNDING or highest > 1 + ROUNDING:
        return (
            f"{name} is for scores in [0, 1], such as the lengths of capsules, and these seem to "
            "be logits. End the model with CapsuleLength or a sigmoid, or train it with "
            "keras.losses.CategoricalCrossentropy(from_logits=True). "
            f"Received: scores from {lowest:.3g} to {highest:.3g}"
        )
    classes = scores.shape[-1]
    if classes > MANY_CLASSES and (np.abs(scores.sum(axis=-1) - 1) < ROUNDING).all():
        return (
            f"{name} is for scores that do not compete, and these sum to one, as those of a "
            f"softmax. Over {classes} classes its gradient is small. Train the model with "
            "keras.losses.CategoricalCrossentropy(), or end it with CapsuleLength. "
            f"Received: scores of shape {scores.shape}, the highest of them {highest:.3g}"
        )
    return None
