"""Reconstructs the input from the poses of its capsules."""

import math

import keras


@keras.saving.register_keras_serializable(package="keras_capsules")
class ReconstructionDecoder(keras.layers.Layer):
    """Decodes masked poses to an image with fully connected layers.

    `image = reshape(sigmoid(dense(relu(dense(... flatten(poses))))), target_shape)`

    Training on the reconstruction error keeps in the poses what the decoder needs to draw the
    image. Sabour et al. weigh the sum of squared errors by 0.0005. This is
    `0.0005 * prod(target_shape)` times the mean that `keras.losses.MeanSquaredError` gives, or
    0.392 times it for 28 x 28.

    Args:
        target_shape: Tuple of integers. Shape of one image, such as `(28, 28, 1)`.
        units: Tuple of integers. Widths of the hidden layers. Defaults to `(512, 1024)`.
        class_independent: Boolean. Whether to decode the sum of the masked poses. Only one of them
            is not zero, so the decoder cannot see its class, and a component means the same for
            each class. Defaults to `False`.

    Call arguments:
        inputs: Masked poses `(batch, num_capsules, capsule_dim)`, see `CapsuleMask`.

    Output shape:
        `(batch, *target_shape)`, in [0, 1].

    Raises:
        ValueError: If the number of capsules is unknown, and the decoder does not sum them.

    Example:

    >>> decoder = keras_capsules.ReconstructionDecoder((28, 28, 1))
    >>> decoder(keras.random.normal((2, 10, 16))).shape
    (2, 28, 28, 1)

    References:
        Sabour, Frosst, Hinton, 2017, arXiv 1710.09829, figure 2.
        Rajasegaran et al., 2019, arXiv 1904.09546, section 3.4 (class independent).
    """

    def __init__(self, target_shape, units=(512, 1024), class_independent: bool = False, **kwargs):
        super().__init__(**kwargs)
        self.target_shape = tuple(target_shape)
        self.units = tuple(units)
        self.class_independent = class_independent
        widths = (*self.units, math.prod(self.target_shape))
        self.dense_layers = [
            keras.layers.Dense(
                width,
                activation="sigmoid" if index == len(self.units) else "relu",
                dtype=self.dtype_policy,
                name=f"dense_{index + 1}",
            )
            for index, width in enumerate(widths)
        ]

    def build(self, input_shape):
        if None in input_shape[1 + self.class_independent :]:
            raise ValueError(
                f"{self.name} has weights for each capsule, so the number of capsules must be "
                "known. Fix it in the input's shape, or take `class_independent=True`, which sums "
                f"the capsules. Received: input_shape={tuple(input_shape)}"
            )
        shape = (input_shape[0], math.prod(input_shape[1 + self.class_independent :]))
        for layer in self.dense_layers:
            layer.build(shape)
            shape = layer.compute_output_shape(shape)
        self.built = True

    def call(self, inputs):
        x = keras.ops.sum(inputs, axis=1) if self.class_independent else inputs
        x = keras.ops.reshape(x, (-1, math.prod(x.shape[1:])))
        for layer in self.dense_layers:
            x = layer(x)
        return keras.ops.reshape(x, (-1, *self.target_shape))

    def compute_output_shape(self, input_shape):
        return (input_shape[0], *self.target_shape)

    def get_config(self):
        return {
            **super().get_config(),
            "target_shape": self.target_shape,
            "units": self.units,
            "class_independent": self.class_independent,
        }
