"""Turns poses into scores."""

import keras

from keras_capsules.ops import capsule_length


@keras.saving.register_keras_serializable(package="keras_capsules")
class CapsuleLength(keras.layers.Layer):
    """Turns poses into scores: the length of a pose says how present the capsule's entity is.

    `score = sqrt(sum(square(pose)) + 1e-12)`

    Call arguments:
        inputs: Poses `(..., capsule_dim)`.

    Output shape:
        `(...)`, the shape of the input without its last axis. In [0, 1] for squashed poses.

    Example:

    >>> keras_capsules.CapsuleLength()(keras.random.normal((2, 10, 16))).shape
    (2, 10)

    Reference:
        Sabour, Frosst, Hinton, 2017, arXiv 1710.09829, section 2.
    """

    def build(self, input_shape):
        self.built = True

    def call(self, inputs):
        return capsule_length(inputs)

    def compute_output_shape(self, input_shape):
        return tuple(input_shape[:-1])

    def get_config(self):
        return super().get_config()  # Keras derives no config where `dtype` is a policy object.
