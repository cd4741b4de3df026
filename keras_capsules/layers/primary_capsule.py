"""The first capsules of a network: a convolution whose channels are grouped into poses."""

import keras
from keras import ops

from keras_capsules.ops import squash


@keras.saving.register_keras_serializable(package="keras_capsules")
class PrimaryCapsule2D(keras.layers.Layer):
    """Makes a grid of capsules out of feature maps.

    `poses = activation(reshape(conv2d(x), (batch, height, width, num_capsules, capsule_dim)))`

    Args:
        num_capsules: Integer. Capsule types in each cell of the grid.
        capsule_dim: Integer. Size of a pose.
        kernel_size: Integer or pair. Size of the convolution's window, in pixels of its input.
        strides: Integer or pair. Defaults to `1`.
        padding: `"valid"` or `"same"`. Defaults to `"valid"`.
        activation: String or callable, applied to poses. Defaults to `"squash"`; `None` leaves
            them as they are.

    Call arguments:
        inputs: Feature maps `(batch, height, width, channels)`.

    Output shape:
        Grid `(batch, new_height, new_width, num_capsules, capsule_dim)`. `CapsuleLayer` takes it
        as it is.

    Raises:
        ValueError: If the input is not of rank 4, or smaller than the kernel.

    Example:

    >>> layer = keras_capsules.PrimaryCapsule2D(32, 8, kernel_size=9, strides=2)
    >>> layer(keras.random.normal((1, 20, 20, 256))).shape
    (1, 6, 6, 32, 8)

    Reference:
        Sabour, Frosst, Hinton, 2017, arXiv 1710.09829, section 4.
    """

    def __init__(
        self,
        num_capsules: int,
        capsule_dim: int,
        kernel_size,
        strides=1,
        padding: str = "valid",
        activation="squash",
        **kwargs,
    ):
        super().__init__(**kwargs)
        self.num_capsules = num_capsules
        self.capsule_dim = capsule_dim
        self.activation = squash if activation == "squash" else keras.activations.get(activation)
        self.convolution = keras.layers.Conv2D(
            num_capsules * capsule_dim,
            kernel_size,
            strides=strides,
            padding=padding,
            data_format="channels_last",
            dtype=self.dtype_policy,
            name="convolution",
        )

    def build(self, input_shape):
        if len(input_shape) != 4:
            raise ValueError(
                f"{self.name} expects feature maps (batch, height, width, channels). "
                f"Received: input_shape={tuple(input_shape)}"
            )
        self.convolution.build(input_shape)
        self.compute_output_shape(input_shape)
        self.built = True

    def call(self, inputs):
        features = self.convolution(inputs)
        return self.activation(ops.reshape(features, self._grid_shape(features.shape, -1)))

    def compute_output_shape(self, input_shape):
        return self._grid_shape(self.convolution.compute_output_shape(input_shape), input_shape[0])

    def get_config(self):
        return {
            **super().get_config(),
            "num_capsules": self.num_capsules,
            "capsule_dim": self.capsule_dim,
            "kernel_size": self.convolution.kernel_size,
            "strides": self.convolution.strides,
            "padding": self.convolution.padding,
            "activation": keras.activations.serialize(self.activation),
        }

    def _grid_shape(self, features_shape, batch):
        return (batch, *features_shape[1:3], self.num_capsules, self.capsule_dim)
