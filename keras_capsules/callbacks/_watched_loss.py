"""Measures the loss and its gradient on a few samples."""

from collections.abc import Callable
from typing import Any

import keras
import numpy as np
from keras import ops

from keras_capsules._gradients import gradient_norms
from keras_capsules._graph import layers_within

# A loss this close to a constant answer's is no lower.
NO_BETTER = 0.99
# Of 64 samples with random labels of ten classes, 0.1 +- 0.04 are named right.
CLEARLY = 0.1


class WatchedLoss:
    """The loss that a model is trained with, on a few samples.

    Args:
        model: The compiled `keras.Model`.
        x: Samples, as the model takes them.
        y: Their labels, as `model.fit` takes them, or `None`.

    Attributes:
        of_scores: The loss of the output `scores`, or of the only one; `None` where unknown.
    """

    def __init__(self, model: keras.Model, x: Any, y: Any):
        self._model, self._x, self._y = model, x, y
        several = len(model.outputs) > 1
        loss = _for_scores(model.loss, several)
        # Which of Keras' cross-entropies the last two are depends on the labels.
        self.of_scores: Any = None if loss in ("crossentropy", "ce") else keras.losses.get(loss)
        self._labels = _for_scores(y, several)
        self._norms: Callable[[], np.ndarray] | None = None
        self._train_function: Any = None

    def losses(self, scores: np.ndarray | None) -> dict[str, float]:
        """Returns the loss of the scores, and that of their mean as the answer for each sample."""
        if scores is None or self.of_scores is None or self._labels is None:
            return {}
        scores = np.asarray(scores, "float32")
        answers = {"loss": scores, "constant_loss": np.broadcast_to(scores.mean(0), scores.shape)}
        return {name: self._mean_loss(answer) for name, answer in answers.items()}

    def is_constant_answer(self, losses: dict[str, float], scores: Any) -> bool:
        """Returns whether the scores say no more than one answer for all samples.

        Their loss is not lower, and they do not name the label of clearly more samples. The second
        condition spares scores that are right but too sure, whose cross-entropy is high.
        """
        if not losses or not losses["loss"] >= NO_BETTER * losses["constant_loss"]:
            return False
        labels = np.asarray(self._labels)
        if labels.shape != scores.shape and labels.size == len(scores):  # Class numbers.
            labels = np.eye(scores.shape[-1])[labels.reshape(-1).astype("int64")]
        if labels.shape != scores.shape or labels.ndim != 2:
            return True
        right = np.take_along_axis(labels, np.argmax(scores, axis=1)[:, None], axis=1).mean()
        constant = labels.mean(axis=0).max()
        return bool(constant < 1 and right < constant + CLEARLY)

    def gradients(self) -> dict[str, float]:
        """Returns the size of the gradient by the weights of each layer that has some."""
        if self._y is None:
            return {}
        # The train function is made again where the loss has changed, as by SpreadMarginSchedule.
        if self._norms is None or self._train_function is not self._model.train_function:
            self._norms = self._measure()
            self._train_function = self._model.train_function
        norms = self._norms().astype("float64")
        squares = {
            id(weight): norm**2
            for weight, norm in zip(self._model.trainable_variables, norms, strict=True)
        }
        return {
            layer.name: float(np.sqrt(sum(squares[id(weight)] for weight in weights)))
            for layer in layers_within(self._model)
            if (weights := layer.trainable_variables)
        }

    def _measure(self):
        model, tensor = self._model, ops.convert_to_tensor
        x, y = (keras.tree.map_structure(tensor, part) for part in (self._x, self._y))
        return gradient_norms(
            lambda: model.compute_loss(x=x, y=y, y_pred=model(x, training=False)),
            model.trainable_variables,
            model.non_trainable_variables,
        )

    def _mean_loss(self, scores):
        labels = ops.convert_to_tensor(self._labels)
        return float(ops.mean(self.of_scores(labels, ops.convert_to_tensor(scores))))


def _for_scores(value, several):
    """Returns the part of a loss, or of labels, that belongs to the scores, or `None`."""
    if isinstance(value, dict):
        return value.get("scores", None if several else next(iter(value.values())))
    if isinstance(value, (list, tuple)):
        return value[0] if len(value) == 1 else None
    return None if several else value
