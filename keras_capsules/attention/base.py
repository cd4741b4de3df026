"""What the members of the family share: the axes of a feature map, means over it, and the call."""

import math

import keras
from keras import ops

from keras_capsules.ops import at_least_float32

CONVOLUTIONS = {3: keras.layers.Conv1D, 4: keras.layers.Conv2D, 5: keras.layers.Conv3D}
KINDS = {3: "sequence", 4: "image", 5: "volume"}


def channels_first(x):
    """From `(batch, positions..., channels)` to `(batch, channels, positions...)`.

    Small maps that change their axes do it in this layout: ONNX has it, so the transposes to it and
    back again vanish in the file, and only reshapes remain.
    """
    rank = len(x.shape)
    return ops.transpose(x, (0, rank - 1, *range(1, rank - 1)))


def channels_last(x):
    """From `(batch, channels, positions...)` to `(batch, positions..., channels)`."""
    return ops.transpose(x, (0, *range(2, len(x.shape)), 1))


class AttentionLayer(keras.layers.Layer):
    """Base of the layers that weigh a feature map by what it holds; same shape out as in.

    A subclass makes its weights in `build_attention(shape)`, where the shape has the channels last,
    computes `(outputs, gates)` in `attend(inputs, mask, training)`, and tells the gates' shapes in
    `gates_shape(shape)`. Convolutions run with the channels last whatever the data format:
    TensorFlow has no others on a CPU.
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

    def build(self, input_shape):
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

    def call(self, inputs, mask=None, return_gates=False, training=None):
        if mask is not None and len(inputs.shape) != 3:
            raise ValueError(
                f"{self.name} takes a mask with sequences only, inputs of rank 3. "
                f"Received: mask with inputs.shape={tuple(inputs.shape)}"
            )
        outputs, gates = self.attend(inputs, mask, training)
        return (outputs, gates) if return_gates else outputs

    def compute_output_shape(self, input_shape):
        return tuple(input_shape)

    def compute_output_spec(self, inputs, mask=None, return_gates=False, training=None):
        outputs = keras.KerasTensor(inputs.shape, self.compute_dtype)
        if not return_gates:
            return outputs
        shapes = self.gates_shape(self.shape_with_channels_last(inputs.shape))
        if isinstance(shapes, list):
            return outputs, tuple(keras.KerasTensor(s, self.compute_dtype) for s in shapes)
        return outputs, keras.KerasTensor(shapes, self.compute_dtype)

    def get_config(self):
        return {**super().get_config(), "data_format": self.data_format}

    def build_attention(self, shape):
        raise NotImplementedError

    def attend(self, inputs, mask, training):
        raise NotImplementedError

    def gates_shape(self, shape):
        return shape[0], shape[-1]

    def channel_axis(self, rank):
        return 1 if self.data_format == "channels_first" else rank - 1

    def position_axes(self, rank):
        return tuple(axis for axis in range(1, rank) if axis != self.channel_axis(rank))

    def shape_with_channels_last(self, shape):
        return tuple(shape[axis] for axis in (0, *self.position_axes(len(shape)))) + (
            shape[self.channel_axis(len(shape))],
        )

    def to_channels_last(self, x):
        return channels_last(x) if self.data_format == "channels_first" else x

    def from_channels_last(self, x):
        return channels_first(x) if self.data_format == "channels_first" else x

    def gate_channels(self, inputs, logits):
        """Multiplies by gates, of logits `(batch, 1..., channels)`, and returns both.

        The activation runs in ONNX's layout: tf2onnx fails to move the transpose behind a
        convolution past an added scalar, the 3 of a hard sigmoid, and then moves none at all.
        """
        gates = self.gate_activation(channels_first(logits))
        outputs = inputs * self.from_channels_last(channels_last(gates))
        return outputs, ops.reshape(gates, (-1, gates.shape[1]))

    def present(self, inputs, mask):
        """The mask, or `None`, with an axis for the channels."""
        if mask is None:
            return None
        return ops.expand_dims(ops.cast(mask, "bool"), self.channel_axis(len(inputs.shape)))

    def mean(self, inputs, mask=None):
        """Averages over the positions; `(batch, 1..., channels)`, in float32 or wider."""
        axes = self.position_axes(len(inputs.shape))
        values = at_least_float32(inputs)
        present = self.present(inputs, mask)
        if present is None:
            return self.to_channels_last(ops.mean(values, axis=axes, keepdims=True))
        total = ops.sum(ops.where(present, values, 0.0), axis=axes, keepdims=True)
        count = ops.sum(ops.cast(present, values.dtype), axis=axes, keepdims=True)
        return self.to_channels_last(total / ops.maximum(count, 1.0))

    def squeeze(self, inputs, mask=None):
        """The mean in the dtype of the inputs."""
        return ops.cast(self.mean(inputs, mask), inputs.dtype)

    def variance(self, inputs, mask=None):
        """Returns the mean, the squared deviations from it, and their sum over `n - 1`.

        One position has a variance of zero. In float32 or wider; the deviations have the layout of
        the inputs, the others that of `mean`.
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
        return mean, squares, self.to_channels_last(variance)

    def convolution(self, shape, filters, name, kernel_size=1, **options):
        """A built convolution on maps of this shape."""
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

    def normalization(self, shape, name, momentum=0.9):
        """A built batch normalization with PyTorch's constants, whose momentum is `1 - ours`."""
        layer = keras.layers.BatchNormalization(
            momentum=momentum, epsilon=1e-5, dtype=self.dtype_policy, name=name
        )
        layer.build(shape)
        return layer


class ReducingAttention(AttentionLayer):
    """Base of those with a hidden layer narrower than the channels, and two activations."""

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
        super().__init__(data_format, **kwargs)
        self.reduction_ratio = reduction_ratio
        self.reduced_channels = reduced_channels
        self.divisor = divisor
        self.activation = keras.activations.get(activation)
        self.gate_activation = keras.activations.get(gate_activation)
        self.use_bias = use_bias

    def reduced_width(self, channels):
        if self.reduced_channels is not None:
            return self.reduced_channels
        width = int(channels / self.reduction_ratio)
        rounded = (width + self.divisor // 2) // self.divisor * self.divisor
        return max(self.divisor, self.min_channels, rounded)

    def build_excitation(self, shape):
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

    def get_config(self):
        return {
            **super().get_config(),
            "reduction_ratio": self.reduction_ratio,
            "reduced_channels": self.reduced_channels,
            "divisor": self.divisor,
            "activation": keras.activations.serialize(self.activation),
            "gate_activation": keras.activations.serialize(self.gate_activation),
            "use_bias": self.use_bias,
        }
