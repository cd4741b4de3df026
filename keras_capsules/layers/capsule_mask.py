"""Keeps one capsule for a decoder, and sets the others to zero."""

import keras
from keras import ops

from keras_capsules.ops import capsule_length


@keras.saving.register_keras_serializable(package="keras_capsules")
class CapsuleMask(keras.layers.Layer):
    """Sets the poses of all capsules to zero, except those of the labels or the longest one.

    `masked_j = pose_j * labels_j`; without labels, `labels = one_hot(argmax_j(length(pose_j)))`

    Call arguments:
        poses: Tensor `(batch, num_capsules, capsule_dim)`, or a grid
            `(batch, height, width, num_capsules, capsule_dim)`, each cell of which is masked alone.
        labels: Tensor of the shape of `poses` without the last axis. One-hot, or multi-hot where
            several classes are present. `None`, the default, keeps the longest capsule.

    Output shape:
        The shape of `poses`.

    Raises:
        ValueError: If `labels` do not have one entry for each capsule.

    Example:

    >>> poses = keras.ops.array([[[0.1, 0.2], [0.6, 0.6]]])
    >>> keras_capsules.CapsuleMask()(poses)
    [[[0.0, 0.0], [0.6, 0.6]]]
    >>> keras_capsules.CapsuleMask()(poses, labels=keras.ops.array([[1.0, 0.0]]))
    [[[0.1, 0.2], [0.0, 0.0]]]

    Reference:
        Sabour, Frosst, Hinton, 2017, arXiv 1710.09829, section 4.1.
    """

    def build(self, poses_shape):
        self.built = True

    def call(self, poses, labels=None):
        if labels is None:
            lengths = capsule_length(poses)
            longest = lengths >= ops.max(lengths, axis=-1, keepdims=True)
            # The first of equally long ones. Keras' argmax needs bit operations on TensorFlow.
            first = ops.cumsum(ops.cast(longest, "float32"), axis=-1) < 1.5
            labels = ops.logical_and(longest, first)
        elif tuple(labels.shape[1:]) != tuple(poses.shape[1:-1]):
            sizes = ", ".join(map(str, poses.shape[1:-1]))
            raise ValueError(
                f"CapsuleMask expects one-hot labels of shape (batch, {sizes}); "
                "keras.utils.to_categorical makes them of class numbers. "
                f"Received: labels.shape={tuple(labels.shape)}"
            )
        return poses * ops.expand_dims(ops.cast(labels, poses.dtype), -1)

    def compute_output_shape(self, poses_shape):
        return tuple(poses_shape)

    def get_config(self):
        return super().get_config()  # Keras derives no config where `dtype` is a policy object.
