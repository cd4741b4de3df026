"""Measures the accuracy where several classes are present."""

import keras
from keras import ops

from keras_capsules._arguments import positive_integer
from keras_capsules._labels import labels_and_scores


@keras.saving.register_keras_serializable(package="keras_capsules")
class TopKSetAccuracy(keras.metrics.Mean):
    """Measures how often the k highest scores are exactly those of the k present classes.

    `accuracy = mean_x(set(top_k(y_pred)) == set(present classes))`

    A sample with another number of present classes counts as wrong.

    Args:
        k: Integer, 1 or more. Number of present classes. Defaults to `2`, as on MultiMNIST.
        name: String. Defaults to `"top_k_set_accuracy"`.
        dtype: Data type of the result. Defaults to `None`, Keras' default float.

    Call arguments:
        y_true: Tensor `(batch, num_classes)`, one-hot or multi-hot, or class numbers, `(batch,)` or
            `(batch, 1)`, where one class is present. A label that is not a class number is treated
            as by `MarginLoss`.
        y_pred: Tensor `(batch, num_classes)`. Scores.
        sample_weight: Tensor `(batch,)` or `None`.

    Raises:
        ValueError: If `k` is not a positive integer or exceeds the number of classes, if the shapes
            do not fit, or if a label is not the number of a class.

    Example:

    >>> metric = keras_capsules.TopKSetAccuracy(k=2)
    >>> metric.update_state([[1.0, 1.0, 0.0], [1.0, 1.0, 0.0]], [[0.9, 0.5, 0.2], [0.9, 0.2, 0.5]])
    >>> float(metric.result())
    0.5

    Reference:
        Sabour, Frosst, Hinton, 2017, arXiv 1710.09829, section 6 (MultiMNIST).
    """

    def __init__(self, k: int = 2, name="top_k_set_accuracy", dtype=None):
        super().__init__(name=name, dtype=dtype)
        self.k = positive_integer("k", k)

    def update_state(self, y_true, y_pred, sample_weight=None):
        y_true, y_pred, fault = labels_and_scores("TopKSetAccuracy", y_true, y_pred)
        if y_pred.shape[-1] < self.k:
            raise ValueError(
                f"TopKSetAccuracy(k={self.k}) needs {self.k} classes or more. "
                f"Received: y_pred.shape={tuple(y_pred.shape)}"
            )
        present = ops.cast(y_true > 0.5, "int32")
        hits = ops.take_along_axis(present, ops.top_k(y_pred, self.k)[1], axis=-1)
        right = ops.logical_and(
            ops.sum(hits, axis=-1) == self.k, ops.sum(present, axis=-1) == self.k
        )
        right = ops.cast(right, self.dtype) + ops.cast(fault, self.dtype)
        super().update_state(right, sample_weight=sample_weight)

    def get_config(self):
        return {**super().get_config(), "k": self.k}
