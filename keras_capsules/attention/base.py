"""Defines the base classes for feature maps: their axes, means over them, and the call."""

import math
from typing import Any

import keras
from keras import ops

from keras_capsules.attention.gated_layer import GatedLayer
from keras_capsules.ops import at_least_float32

CONVOLUTIONS = {3: keras.layers.Conv1D, 4: keras.layers.Conv2D, 5: keras.layers.Conv3D}
KINDS = {3: "sequence", 4: "image", 5: "volume"}


def channels_first(x: Any) -> Any:
    """Moves the channels of `(batch, positions..., channels)` to the front.

    Small maps that change their axes do it in this layout: ONNX has the same, so the transposes
    to it and back vanish in the file, and only reshapes remain.
    """
    rank = len(x.shape)
    return ops.transpose(x, (0, rank - 1, *range(1, rank - 1)))


def channels_last(x: Any) -> Any:
    """Moves the channels of `(batch, channels, positions...)` to the end."""
    return ops.transpose(x, (0, *range(2, len(x.shape)), 1))


class AttentionLayer(GatedLayer):
    """Base of the layers that weigh a feature map by what the map holds.

    A subclass makes its weights in `build_attention(shape)`, where the shape has the channels last,
    computes `(outputs, gates)` in `attend(inputs, mask, training)`, and tells the shape of each
    tensor of gates in `attention_shapes(shape)`. Convolutions run with the channels last whatever
    the data format: TensorFlow has no others on a CPU.
    """

    ranks = (3, 4, 5)

    def __init__(self, data_format: str | None = None, **kwargs):
        if data_format not in (None, "channels_last", "channels_first"):
            raise ValueError(
                '`data_format` must be "channels_last", "channels_first" or None. '
                f"Received: data_format={data_format!r}"
            )
        super().__init__(**kwargs)
        self.data_format = data_format or keras.config.image_data_format()
        self.supports_masking = True

    def build(self, input_shape: tuple) -> None:
        rank = len(input_shape)
        if rank not in self.ranks:
            raise ValueError(
                f"{self.name} expects an input of rank "
                f"{' or '.join(f'{rank} ({KINDS[rank]})' for rank in self.ranks)}. "
                f"Received: input_shape={tuple(input_shape)}"
            )
        if input_shape[self.channel_axis(rank)] is None:
            raise ValueError(
                f"{self.name} needs the number of channels to create its weights. Fix it in the "
                f"input's shape. Received: input_shape={tuple(input_shape)}"
            )
        self.build_attention(self.shape_with_channels_last(input_shape))
        self.built = True

    def call(
        self, inputs: Any, mask: Any = None, return_gates: bool = False, training: Any = None
    ) -> Any:
        if mask is not None and len(inputs.shape) != 3:
            raise ValueError(
                f"{self.name} takes a mask with sequences only, inputs of rank 3. "
                f"Received: mask with inputs.shape={tuple(inputs.shape)}"
            )
        if inputs.shape[0] == 0:  # Backends refuse some convolutions and maxima of nothing.
            shapes = self.gates_shapes(tuple(inputs.shape))
            gates = tuple(ops.zeros(shape, inputs.dtype) for shape in shapes)
            outputs, gates = inputs, gates[0] if len(gates) == 1 else gates
        else:
            outputs, gates = self.attend(inputs, mask, training)
        return (outputs, gates) if return_gates else outputs

    def gates_shapes(self, input_shape: tuple) -> tuple[tuple, ...]:
        return self.attention_shapes(self.shape_with_channels_last(input_shape))

    def has_channel_gates(self) -> bool:
        batch, channels = None, 7
        return self.attention_shapes((batch, 3, 5, channels))[0] == (batch, channels)

    def get_config(self) -> dict[str, Any]:
        return {**super().get_config(), "data_format": self.data_format}

    def build_attention(self, shape: tuple) -> None:
        raise NotImplementedError

    def attend(self, inputs: Any, mask: Any, training: bool | None) -> tuple[Any, Any]:
        raise NotImplementedError

    def attention_shapes(self, shape: tuple) -> tuple[tuple, ...]:
        return ((shape[0], shape[-1]),)

    def channel_axis(self, rank: int) -> int:
        return 1 if self.data_format == "channels_first" else rank - 1

    def position_axes(self, rank: int) -> tuple[int, ...]:
        return tuple(axis for axis in range(1, rank) if axis != self.channel_axis(rank))

    def shape_with_channels_last(self, shape: tuple) -> tuple:
        return tuple(shape[axis] for axis in (0, *self.position_axes(len(shape)))) + (
            shape[self.channel_axis(len(shape))],
        )

    def to_channels_last(self, x: Any) -> Any:
        return channels_last(x) if self.data_format == "channels_first" else x

    def from_channels_last(self, x: Any) -> Any:
        return channels_first(x) if self.data_format == "channels_first" else x

    def gate_channels(self, inputs: Any, logits: Any) -> tuple[Any, Any]:
        """Returns the inputs times their gates, and the gates, of logits `(batch, 1..., channels)`.

        The activation runs in ONNX's layout: tf2onnx fails to move the transpose behind a
        convolution past an added scalar, the 3 of a hard sigmoid, and then moves none at all.
        """
        gates = self.gate_activation(channels_first(logits))
        outputs = inputs * self.from_channels_last(channels_last(gates))
        return outputs, ops.reshape(gates, (-1, gates.shape[1]))

    def present(self, inputs: Any, mask: Any) -> Any:
        """Returns the mask with an axis for the channels, or `None` without a mask."""
        if mask is None:
            return None
        return ops.expand_dims(ops.cast(mask, "bool"), self.channel_axis(len(inputs.shape)))

    def mean(self, inputs: Any, mask: Any = None) -> Any:
        """Averages over the positions; `(batch, 1..., channels)`, in float32 or wider."""
        axes = self.position_axes(len(inputs.shape))
        values = at_least_float32(inputs)
        present = self.present(inputs, mask)
        if present is None:
            return self.to_channels_last(ops.mean(values, axis=axes, keepdims=True))
        total = ops.sum(ops.where(present, values, 0.0), axis=axes, keepdims=True)
        count = ops.sum(ops.cast(present, values.dtype), axis=axes, keepdims=True)
        return self.to_channels_last(total / ops.maximum(count, 1.0))

    def squeeze(self, inputs: Any, mask: Any = None) -> Any:
        """Computes the mean in the dtype of the inputs."""
        return ops.cast(self.mean(inputs, mask), inputs.dtype)

    def variance(self, inputs: Any, mask: Any = None) -> tuple[Any, Any]:
        """Returns the mean, and the sum of the squared deviations from it over `n - 1`.

        One position has a variance of zero. In float32 or wider, in the layout of `mean`.
        """
        mean = self.mean(inputs, mask)
        squares = ops.square(at_least_float32(inputs) - self.from_channels_last(mean))
        axes = self.position_axes(len(inputs.shape))
        present = self.present(inputs, mask)
        if present is None:
            sizes = [ops.shape(inputs)[axis] for axis in axes]
            count = ops.cast(math.prod(sizes), squares.dtype)
        else:
            squares = ops.where(present, squares, 0.0)
            count = ops.sum(ops.cast(present, squares.dtype), axis=axes, keepdims=True)
        variance = ops.sum(squares, axis=axes, keepdims=True) / ops.maximum(count - 1.0, 1.0)
        return mean, self.to_channels_last(variance)

    def convolution(
        self, shape: tuple, filters: int, name: str, kernel_size: int = 1, **options
    ) -> keras.layers.Layer:
        """Returns a built convolution on maps of this shape."""
        layer = CONVOLUTIONS[len(shape)](
            filters,
            kernel_size,
            padding="same",
            data_format="channels_last",
            dtype=self.dtype_policy,
            name=name,
            **options,
        )
        layer.build(shape)
        return layer

    def normalization(
        self, shape: tuple, name: str, momentum: float = 0.9
    ) -> keras.layers.BatchNormalization:
        """Returns a built batch normalization with PyTorch's constants.

        PyTorch's momentum is one minus that of Keras.
        """
        layer = keras.layers.BatchNormalization(
            momentum=momentum, epsilon=1e-5, dtype=self.dtype_policy, name=name
        )
        layer.build(shape)
        return layer


class ReducingAttention(AttentionLayer):
    """Base of the layers with a hidden layer narrower than the channels, and two activations."""

    min_channels = 1

    def __init__(
        self,
        reduction_ratio: float = 16,
        reduced_channels: int | None = None,
        divisor: int = 1,
        activation="relu",
        gate_activation="sigmoid",
        use_bias: bool = True,
        data_format: str | None = None,
        **kwargs,
    ):
        for name, value in (
            ("reduction_ratio", reduction_ratio),
            ("reduced_channels", reduced_channels),
            ("divisor", divisor),
        ):
            if value is not None and value <= 0:
                raise ValueError(f"`{name}` must be positive. Received: {name}={value!r}")
        super().__init__(data_format=data_format, **kwargs)
        self.reduction_ratio = reduction_ratio
        self.reduced_channels = reduced_channels
        self.divisor = divisor
        self.activation = keras.activations.get(activation)
        self.gate_activation = keras.activations.get(gate_activation)
        self.use_bias = use_bias

    def reduced_width(self, channels: int) -> int:
        """Returns the width of the hidden layer."""
        if self.reduced_channels is not None:
            return self.reduced_channels
        width = int(channels / self.reduction_ratio)
        rounded = (width + self.divisor // 2) // self.divisor * self.divisor
        return max(self.divisor, self.min_channels, rounded)

    def build_excitation(self, shape: tuple) -> None:
        """Makes `reduce` and `excite`, convolutions over one position.

        The exported graph then keeps the layout of the convolutions around the block, where dense
        layers would need transposes.
        """
        channels, width = shape[-1], self.reduced_width(shape[-1])
        one = (shape[0], *[1] * (len(shape) - 2))
        bias = {"use_bias": self.use_bias}
        self.reduce = self.convolution(
            (*one, channels), width, "reduce", activation=self.activation, **bias
        )
        self.excite = self.convolution((*one, width), channels, "excite", **bias)

    def get_config(self) -> dict[str, Any]:
        return {
            **super().get_config(),
            "reduction_ratio": self.reduction_ratio,
            "reduced_channels": self.reduced_channels,
            "divisor": self.divisor,
            "activation": keras.activations.serialize(self.activation),
            "gate_activation": keras.activations.serialize(self.gate_activation),
            "use_bias": self.use_bias,
        }
