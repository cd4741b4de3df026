"""Weighs a user's interests by their match with a target item."""

import keras
from keras import ops

from keras_capsules.ops import at_least_float32


@keras.saving.register_keras_serializable(package="keras_capsules")
class LabelAwareAttention(keras.layers.Layer):
    """Sums a user's interests by how well they match a target item, for training.

    `score_k = sign(s_k) * abs(s_k)**power`, `s_k = interest_k . target`,
    `output = sum_k softmax_k(score) * interest_k`

    With a positive match the score is the paper's `s_k**power`. The sign matters for an interest
    that points away from the target: an even power would give it a large share.

    Args:
        power: Float, 1 or more. A larger power gives the best interest more. Defaults to `2.0`.

    Call arguments:
        interests: Tensor `(batch, num_interests, dim)`.
        target: Tensor `(batch, dim)`. The item that the user chose next.
        interests_mask: Boolean tensor `(batch, num_interests)`. `True` where an interest is
            present. `MultiInterestCapsule` passes it automatically.

    Output shape:
        `(batch, dim)`.

    Raises:
        ValueError: If `power` is less than 1, or the shapes of interests and target do not fit.

    Example:

    >>> interests = keras.ops.array([[[1.0, 0.0], [0.0, 1.0]]])
    >>> keras_capsules.LabelAwareAttention()(interests, keras.ops.array([[1.0, 0.0]]))
    [[0.731, 0.269]]

    Reference:
        Li et al., CIKM 2019, arXiv 1904.08030, section 3.4.
    """

    def __init__(self, power: float = 2.0, **kwargs):
        if power < 1:
            raise ValueError(
                "`power` must be 1 or more: below, scores near zero have no finite gradient. "
                f"Received: power={power!r}"
            )
        super().__init__(**kwargs)
        self.power = power
        self.supports_masking = True

    def build(self, interests_shape, target_shape):
        self._check(interests_shape, target_shape)
        self.built = True

    def call(self, interests, target, interests_mask=None):
        self._check(interests.shape, target.shape)
        values, target = at_least_float32(interests), at_least_float32(target)
        match = ops.squeeze(ops.matmul(values, ops.expand_dims(target, 2)), axis=2)
        # Powers above 1e30 could overflow, and their difference would be NaN.
        size = ops.minimum(ops.abs(match), 1e30 ** (1 / self.power))
        scores = ops.sign(match) * ops.power(size, self.power)
        if interests_mask is not None:
            scores = ops.where(ops.cast(interests_mask, "bool"), scores, -3e38)
        attention = ops.expand_dims(ops.softmax(scores, axis=1), 1)
        return ops.cast(ops.squeeze(ops.matmul(attention, values), axis=1), interests.dtype)

    def compute_mask(self, *args, **kwargs):
        return None  # The output has no axis of interests.

    def compute_output_shape(self, interests_shape, target_shape):
        self._check(interests_shape, target_shape)
        return (interests_shape[0], interests_shape[2])

    def get_config(self):
        return {**super().get_config(), "power": self.power}

    def _check(self, interests_shape, target_shape):
        interests_shape, target_shape = tuple(interests_shape), tuple(target_shape)
        if (
            len(interests_shape) != 3
            or len(target_shape) != 2
            or interests_shape[2] != target_shape[1]
        ):
            raise ValueError(
                f"{self.name} expects interests (batch, num_interests, dim) and a target "
                f"(batch, dim) of the same dim. Received: interests.shape={interests_shape}, "
                f"target.shape={target_shape}"
            )
