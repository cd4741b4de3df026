"""Draws the input again from what the capsules say of it."""

import math

import keras


@keras.saving.register_keras_serializable(package="keras_capsules")
class ReconstructionDecoder(keras.layers.Layer):
    """Decodes masked poses to an image with fully connected layers.

    `image = reshape(sigmoid(dense(relu(dense(... flatten(poses))))), target_shape)`

    Training with its error keeps in the poses what an image needs to be drawn. The weight of
    Sabour et al., 0.0005 times the sum of squared errors, is `0.0005 * prod(target_shape)` times
    the mean that `keras.losses.MeanSquaredError` gives: 0.392 for 28 x 28.

    Args:
        target_shape: Tuple of integers. Shape of one image, such as `(28, 28, 1)`.
        units: Tuple of integers. Widths of the hidden layers. Defaults to `(512, 1024)`.

    Call arguments:
        inputs: Masked poses `(batch, num_capsules, capsule_dim)`, see `CapsuleMask`.

    Output shape:
        `(batch, *target_shape)`, in [0, 1].

    Example:

    >>> decoder = keras_capsules.ReconstructionDecoder((28, 28, 1))
    >>> decoder(keras.random.normal((2, 10, 16))).shape
    (2, 28, 28, 1)

    Reference:
        Sabour, Frosst, Hinton, 2017, arXiv 1710.09829, figure 2.
    """

    def __init__(self, target_shape, units=(512, 1024), **kwargs):
        super().__init__(**kwargs)
        self.target_shape = tuple(target_shape)
        self.units = tuple(units)
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
        shape = (input_shape[0], math.prod(input_shape[1:]))
        for layer in self.dense_layers:
            layer.build(shape)
            shape = layer.compute_output_shape(shape)
        self.built = True

    def call(self, inputs):
        x = keras.ops.reshape(inputs, (-1, math.prod(inputs.shape[1:])))
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
        }
