"""Implements the first capsules of a network: a convolution with channels grouped into poses."""

from typing import Any

import keras
from keras import layers, ops

from keras_capsules._arguments import positive_integer
from keras_capsules._receptive_fields import grid_argument, present_cells
from keras_capsules._shapes import sizes_of
from keras_capsules.layers._stored_maps import StoredMaps
from keras_capsules.ops import exponential_squash, squash

_ACTIVATIONS = {"squash": squash, "exponential_squash": exponential_squash}


class PrimaryCapsule(StoredMaps, layers.Layer):
    """Implements `PrimaryCapsule1D` and `PrimaryCapsule2D`, which set the number of grid axes."""

    rank: int
    convolution_class: type
    depthwise_class: type

    def __init__(
        self,
        num_capsules: int,
        capsule_dim: int,
        kernel_size,
        strides=1,
        padding: str = "valid",
        depthwise: bool = False,
        activation: Any = "squash",
        explicit_activations: bool = False,
        **kwargs,
    ):
        super().__init__(**kwargs)
        self.num_capsules = positive_integer("num_capsules", num_capsules)
        self.capsule_dim = positive_integer("capsule_dim", capsule_dim)
        self.kernel_size = grid_argument("kernel_size", kernel_size, self.rank)
        self.strides = grid_argument("strides", strides, self.rank)
        if padding not in ("valid", "same"):
            raise ValueError(f'`padding` must be "valid" or "same". Received: padding={padding!r}')
        self.padding = padding
        self.depthwise = depthwise
        if isinstance(activation, str):
            activation = _ACTIVATIONS.get(activation, activation)
        self.activation = keras.activations.get(activation)
        self.explicit_activations = explicit_activations
        self.supports_masking = True
        self.convolution: Any = (
            None  # A depthwise convolution is made once the number of channels is known.
        )
        if not depthwise:
            self.convolution = self._convolution("convolution", num_capsules * capsule_dim)
        self.activation_convolution: Any = None
        if explicit_activations:
            self.activation_convolution = self._convolution(
                "activation_convolution", num_capsules, activation="sigmoid"
            )

    def build(self, input_shape: tuple) -> None:
        if len(input_shape) != self.rank + 2:
            axes = ("length",) if self.rank == 1 else ("height", "width")
            raise ValueError(
                f"{self.name} expects features (batch, {', '.join(axes)}, channels). "
                f"Received: input_shape={tuple(input_shape)}"
            )
        if self.depthwise:
            self.convolution = self._depthwise_convolution(input_shape[-1])
        self.convolution.build(input_shape)
        self.compute_output_shape(input_shape)
        if self.explicit_activations:
            self.activation_convolution.build(input_shape)
        self.built = True

    def call(self, inputs: Any, mask: Any = None) -> Any:
        if mask is not None:
            inputs = ops.where(ops.expand_dims(ops.cast(mask, "bool"), -1), inputs, 0.0)
        features = self.convolution(inputs)
        grid = (-1, *sizes_of(features)[:-1], self.num_capsules)
        features = ops.reshape(features, (*grid, self.capsule_dim))
        poses = self.activation(features)
        if not self.explicit_activations:
            return poses
        return poses, ops.reshape(self.activation_convolution(inputs), grid)

    def compute_mask(self, inputs: Any, mask: Any = None) -> Any:
        if mask is None:
            return None
        cells = present_cells(mask, self.kernel_size, self.strides, self.padding)
        return (cells, cells) if self.explicit_activations else cells

    def compute_output_shape(self, input_shape: tuple) -> Any:
        features = self._convolution("shape", 1).compute_output_shape(input_shape)
        grid = (*features[:-1], self.num_capsules)
        poses = (*grid, self.capsule_dim)
        return (poses, grid) if self.explicit_activations else poses

    def get_config(self) -> dict[str, Any]:
        return {
            **super().get_config(),
            "num_capsules": self.num_capsules,
            "capsule_dim": self.capsule_dim,
            "kernel_size": self.kernel_size,
            "strides": self.strides,
            "padding": self.padding,
            "depthwise": self.depthwise,
            "activation": keras.activations.serialize(self.activation),
            "explicit_activations": self.explicit_activations,
        }

    def _convolution(self, name, filters, **options):
        return self.convolution_class(filters, name=name, **self._convolution_options(), **options)

    def _depthwise_convolution(self, channels):
        filters = self.num_capsules * self.capsule_dim
        if filters % channels:
            raise ValueError(
                f"{self.name} with `depthwise=True` makes the same number of filters of each "
                "channel: `num_capsules * capsule_dim` must be a multiple of the input's channels. "
                f"Received: {self.num_capsules} * {self.capsule_dim}, channels={channels}"
            )
        return self.depthwise_class(
            depth_multiplier=filters // channels, name="convolution", **self._convolution_options()
        )

    def _convolution_options(self):
        return {
            "kernel_size": self.kernel_size,
            "strides": self.strides,
            "padding": self.padding,
            "data_format": "channels_last",
            "dtype": self.dtype_policy,
        }


@keras.saving.register_keras_serializable(package="keras_capsules")
class PrimaryCapsule2D(PrimaryCapsule):
    """Makes a grid of capsules out of feature maps.

    `poses = activation(reshape(conv2d(x), (batch, height, width, num_capsules, capsule_dim)))`

    Args:
        num_capsules: Integer. Capsule types in each cell of the grid.
        capsule_dim: Integer. Size of a pose.
        kernel_size: Integer or pair. Size of the convolution's window, in pixels of its input.
        strides: Integer or pair. Defaults to `1`.
        padding: `"valid"` or `"same"`. Defaults to `"valid"`.
        depthwise: Boolean. Whether each channel is convolved separately, as in Efficient-CapsNet.
            `num_capsules * capsule_dim` must then be a multiple of the input's channels. Defaults
            to `False`.
        activation: String or callable, applied to poses, such as `"squash"` or
            `"exponential_squash"`. `None` leaves the poses unchanged. Defaults to `"squash"`.
        explicit_activations: Boolean. Whether to return an activation with each pose,
            `sigmoid(conv2d(x))`, for routings that need activations. Defaults to `False`.

    Call arguments:
        inputs: Feature maps `(batch, height, width, channels)`. Height and width may be open.
        mask: Boolean tensor `(batch, height, width)`. `True` where a pixel is present. Absent
            pixels count as zeros, like those beyond the edge with `padding="same"`. In the mask of
            the output, `compute_mask(inputs, mask)`, a cell is present if its window sees at least
            one present pixel.

    Output shape:
        Grid `(batch, new_height, new_width, num_capsules, capsule_dim)`. `CapsuleLayer` and
        `ConvCapsule2D` accept it unchanged. With `explicit_activations=True` the layer returns the
        pair of the grid and activations `(batch, new_height, new_width, num_capsules)` in [0, 1].

    Raises:
        ValueError: If the input is not of rank 4, or smaller than the kernel, or if its channels
            do not fit `depthwise`.

    Example:

    >>> layer = keras_capsules.PrimaryCapsule2D(32, 8, kernel_size=9, strides=2)
    >>> layer(keras.random.normal((1, 20, 20, 256))).shape
    (1, 6, 6, 32, 8)

    References:
        Sabour, Frosst, Hinton, 2017, arXiv 1710.09829, section 4.
        Hinton, Sabour, Frosst, ICLR 2018 (explicit activations).
        Mazzia, Salvetti, Chiaberge, 2021, arXiv 2101.12491 (depthwise).
    """

    rank = 2
    convolution_class = layers.Conv2D
    depthwise_class = layers.DepthwiseConv2D


@keras.saving.register_keras_serializable(package="keras_capsules")
class PrimaryCapsule1D(PrimaryCapsule):
    """Makes a row of capsules out of a sequence of features, such as a signal or a text.

    `poses = activation(reshape(conv1d(x), (batch, length, num_capsules, capsule_dim)))`

    Args:
        num_capsules, capsule_dim, kernel_size, strides, padding, depthwise, activation,
            explicit_activations: As in `PrimaryCapsule2D`, on one axis.

    Call arguments:
        inputs: Features `(batch, length, channels)`. The length may be open.
        mask: Boolean tensor `(batch, length)`, as in `PrimaryCapsule2D`.
            `keras.layers.Embedding(mask_zero=True)` passes it automatically, and the mask of the
            output, `(batch, new_length)`, reaches the next layer.

    Output shape:
        `(batch, new_length, num_capsules, capsule_dim)`. `CapsuleLayer` and `ConvCapsule1D` accept
        it unchanged. With `explicit_activations=True` the layer returns the pair of the poses and
        activations `(batch, new_length, num_capsules)` in [0, 1].

    Raises:
        ValueError: As `PrimaryCapsule2D`, for inputs that are not of rank 3.

    Example:

    >>> layer = keras_capsules.PrimaryCapsule1D(4, 8, kernel_size=5, strides=2)
    >>> layer(keras.random.normal((1, 65, 3))).shape
    (1, 31, 4, 8)
    """

    rank = 1
    convolution_class = layers.Conv1D
    depthwise_class = layers.DepthwiseConv1D
