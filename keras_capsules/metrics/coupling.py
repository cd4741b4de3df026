"""Measures whether the coupling divides votes, and whether it depends on the input."""

import math

import keras
from keras import ops

from keras_capsules.metrics.base import TINY, check_same_shape, fixed_shape, sample_weights
from keras_capsules.ops import at_least_float32

_ROUNDING = 1e-6


@keras.saving.register_keras_serializable(package="keras_capsules")
class CouplingEntropy(keras.metrics.Mean):
    """Measures how evenly children divide their votes: 1 is uniform, 0 is one parent per child.

    `entropy = -sum_j p_ij * log(p_ij) / log(J)`, `p_ij = c_ij / sum_j c_ij`

    The entropy is averaged over the children of a sample, then over the samples. A child without
    any coupling, such as an absent one, is left out.

    Args:
        name: String. Defaults to `"coupling_entropy"`.
        dtype: Data type of the result. Defaults to `None`, Keras' default float.

    Call arguments:
        y_true: Ignored. `update_state(coupling)` is enough. In `model.fit` Keras still needs labels
            for the output: pass `np.zeros(samples)`.
        y_pred: Tensor `(batch, num_in, num_out)`, not negative. The second value that
            `CapsuleLayer(...)(poses, return_coupling=True)` returns.
        sample_weight: Tensor `(batch,)` or `None`.

    Raises:
        ValueError: If the coupling has another rank, or fewer than two parents.

    Example:

    >>> metric = keras_capsules.CouplingEntropy()
    >>> metric.update_state(np.array([[[0.5, 0.5], [1.0, 0.0]]]))
    >>> float(metric.result())
    0.5
    """

    def __init__(self, name="coupling_entropy", dtype=None):
        super().__init__(name=name, dtype=dtype)

    def update_state(self, y_true, y_pred=None, sample_weight=None):
        coupling = _coupling("CouplingEntropy", y_true, y_pred)
        if coupling.shape[2] < 2:
            raise ValueError(
                "CouplingEntropy needs two or more parents: with one parent nothing is divided. "
                f"Received: coupling.shape={tuple(coupling.shape)}"
            )
        values, counted = entropies(coupling)
        weights = sample_weights(sample_weight, values) * counted
        super().update_state(values, sample_weight=weights)

    def get_config(self):
        return super().get_config()


@keras.saving.register_keras_serializable(package="keras_capsules")
class CouplingVariance(keras.metrics.Metric):
    """Measures how far the coupling depends on the input: near zero, the routing is static.

    `variance = mean_ij(mean_x((c_ij(x) - mean_x c_ij)**2))` over all inputs x seen

    A static routing could be replaced by a constant coupling. The largest variance is 0.25. An
    absent child counts as a coupling of zero. The states of several devices may be added, or
    averaged, and give the variance over what all of them have seen.

    Args:
        name: String. Defaults to `"coupling_variance"`.
        dtype: Data type of the state. Defaults to `None`, Keras' default float.

    Call arguments:
        y_true: Ignored, as by `CouplingEntropy`.
        y_pred: Tensor `(batch, num_in, num_out)`. The number of children must be fixed.
        sample_weight: Tensor `(batch,)` or `None`.

    Raises:
        ValueError: If the coupling has another rank, or another number of children or parents
            than before.

    Example:

    >>> metric = keras_capsules.CouplingVariance()
    >>> metric.update_state(np.array([[[1.0, 0.0]], [[0.0, 1.0]]]))
    >>> metric.update_state(np.array([[[0.5, 0.5]], [[0.5, 0.5]]]))
    >>> float(metric.result())
    0.125

    References:
        Mitterreiter, Koch, Giesen, Laue, 2023, arXiv 2301.01583 (static coupling).
        Chan, Golub, LeVeque, 1983 (merging of variances).
    """

    def __init__(self, name="coupling_variance", dtype=None):
        super().__init__(name=name, dtype=dtype)
        self.count = self.add_weight(initializer="zeros", name="count")
        self.total = None
        self.squares = None
        self.between = None

    def update_state(self, y_true, y_pred=None, sample_weight=None):
        coupling = ops.cast(_coupling("CouplingVariance", y_true, y_pred), self.dtype)
        if self.total is None or self.squares is None or self.between is None:
            shape = fixed_shape(self, coupling.shape[1:])
            self.total = self.add_weight(shape, initializer="zeros", name="total")
            self.squares = self.add_weight(shape, initializer="zeros", name="squares")
            self.between = self.add_weight(shape, initializer="zeros", name="between")
        check_same_shape(self, self.total.shape, coupling.shape[1:])
        weights = sample_weights(sample_weight, coupling[:, 0, 0])
        added, weights = ops.sum(weights), weights[:, None, None]
        mean = ops.sum(weights * coupling, axis=0) / ops.maximum(added, TINY)
        squares = ops.sum(weights * ops.square(coupling - mean), axis=0)
        # The two groups are merged, because sums of squares would lose a small variance to
        # rounding.
        share = added / ops.maximum(self.count + added, TINY)
        difference = mean - self.total / ops.maximum(self.count, TINY)
        squares = squares + ops.square(difference) * (self.count * share)
        self.squares.assign(self.squares + squares)
        self.total.assign(self.total + added * mean)
        self.count.assign(self.count + added)
        self.between.assign(_over(self.total, self.count))

    def result(self):
        if self.squares is None or self.between is None:
            return ops.zeros((), self.dtype)
        between = self.between - _over(self.total, self.count)
        # On one device the two differ by rounding only.
        between = ops.where(between > _ROUNDING * self.between, between, 0.0)
        return ops.mean((self.squares + between) / ops.maximum(self.count, TINY))

    def get_config(self):
        return super().get_config()


def _over(total, count):
    """Returns `total**2 / count`, which the states of several devices keep apart."""
    return ops.square(total) / ops.maximum(count, TINY)


def _coupling(name, y_true, y_pred):
    coupling = at_least_float32(y_true if y_pred is None else y_pred)
    if len(coupling.shape) != 3:
        raise ValueError(
            f"{name} expects a coupling of shape (batch, num_in, num_out). "
            f"Received: coupling.shape={tuple(coupling.shape)}"
        )
    return coupling


def entropies(coupling):
    """Returns the entropy of each sample, and 1 where it counts, 0 where all children are absent.

    Args:
        coupling: Tensor `(batch, num_in, num_out)`, not negative, for two or more parents.
    """
    total = ops.sum(coupling, axis=2, keepdims=True)
    shares = coupling / ops.maximum(total, TINY)
    entropy = -ops.sum(shares * ops.log(ops.maximum(shares, TINY)), axis=2)
    present = ops.cast(total[:, :, 0] > 0, entropy.dtype)
    children = ops.sum(present, axis=1)
    values = ops.sum(entropy * present, axis=1) / ops.maximum(children, 1.0)
    return values / math.log(coupling.shape[2]), ops.cast(children > 0, values.dtype)
