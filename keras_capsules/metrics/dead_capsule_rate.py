"""Counts the capsules that no input activates."""

import keras
from keras import ops

from keras_capsules.metrics.base import check_same_shape, fixed_shape
from keras_capsules.ops import at_least_float32, capsule_length


@keras.saving.register_keras_serializable(package="keras_capsules")
class DeadCapsuleRate(keras.metrics.Metric):
    """Measures the share of capsules that no input so far has made longer than a threshold.

    `rate = mean_j(sum_x(length(v_j(x)) > threshold) == 0)` over all inputs x seen

    The states of several devices may be added, or averaged.

    Args:
        threshold: Float. A capsule that stays this short is dead. Defaults to `0.01`.
        name: String. Defaults to `"dead_capsule_rate"`.
        dtype: Data type of the state. Defaults to `None`, Keras' default float.

    Call arguments:
        y_true: Ignored, as by `CouplingEntropy`.
        y_pred: Lengths or explicit activations `(batch, num_capsules)`, or poses
            `(batch, num_capsules, capsule_dim)`, or a grid of poses
            `(batch, height, width, types, capsule_dim)` or `(batch, length, types, capsule_dim)`.
            All sizes but the batch must be fixed.
        sample_weight: Ignored.

    Raises:
        ValueError: If the capsules have another rank, or another number than before.

    Example:

    >>> metric = keras_capsules.DeadCapsuleRate()
    >>> metric.update_state(np.array([[0.5, 0.001, 0.0, 0.0], [0.6, 0.9, 0.0, 0.0]]))
    >>> float(metric.result())
    0.5

    Reference:
        Mitterreiter, Koch, Giesen, Laue, 2023, arXiv 2301.01583 (capsule starvation).
    """

    def __init__(self, threshold: float = 0.01, name="dead_capsule_rate", dtype=None):
        super().__init__(name=name, dtype=dtype)
        self.threshold = threshold
        self.alive = None

    def update_state(self, y_true, y_pred=None, sample_weight=None):
        capsules = at_least_float32(y_true if y_pred is None else y_pred)
        if len(capsules.shape) not in (2, 3, 4, 5):
            raise ValueError(
                "DeadCapsuleRate expects lengths (batch, num_capsules), poses (batch, "
                "num_capsules, capsule_dim) or a grid of poses (batch, height, width, types, "
                f"capsule_dim). Received: shape={tuple(capsules.shape)}"
            )
        lengths = capsules if len(capsules.shape) == 2 else capsule_length(capsules)
        if self.alive is None:
            shape = fixed_shape(self, lengths.shape[1:])
            self.alive = self.add_weight(shape, initializer="zeros", name="alive")
        check_same_shape(self, self.alive.shape, lengths.shape[1:])
        alive = ops.sum(ops.cast(lengths > self.threshold, self.dtype), axis=0)
        self.alive.assign(self.alive + alive)

    def result(self):
        if self.alive is None:
            return ops.ones((), self.dtype)
        return ops.mean(ops.cast(self.alive <= 0, self.dtype))

    def get_config(self):
        return {**super().get_config(), "threshold": self.threshold}
