"""Squeeze-and-excitation: one gate for each channel."""

import keras
from keras import ops

from keras_capsules.ops import at_least_float32


@keras.saving.register_keras_serializable(package="keras_capsules")
class SqueezeExcitation(keras.layers.Layer):
    """Weighs each channel by a gate computed from the mean of all channels.

    `gates = sigmoid(W2 @ relu(W1 @ mean(x, positions) + b1) + b2)`, `y = x * gates`

    Settings that others use: the paper and its released models are the defaults (`use_bias=True`
    as released; `False` in the paper's ablations); timm rounds the reduced width,
    `divisor=8`; torchvision and EfficientNet give it, `reduced_channels=...`; MobileNetV3 gates by
    `gate_activation="hard_sigmoid"`.

    Args:
        reduction_ratio: Integer or float. Channels divided by it are the width of the hidden
            layer. Defaults to `16`.
        reduced_channels: Integer or `None`. That width itself, in place of the ratio.
        divisor: Integer. The width is rounded to a multiple of it, and is at least that. Defaults
            to `1`.
        activation: String or callable, of the hidden layer. Defaults to `"relu"`.
        gate_activation: String or callable, of the gates. Defaults to `"sigmoid"`.
        use_bias: Boolean. Defaults to `True`.
        data_format: `"channels_last"`, `"channels_first"` or `None`, which stands for
            `keras.config.image_data_format()`.

    Call arguments:
        inputs: Tensor of rank 3 to 5: `(batch, positions..., channels)`, or
            `(batch, channels, positions...)` with `"channels_first"`.
        mask: Boolean tensor `(batch, steps)`, for sequences. Masked steps stay out of the mean.
        return_gates: Boolean. Whether to return the gates as well. Defaults to `False`.

    Output shape:
        That of the input; with `return_gates=True` the pair of that and of gates
        `(batch, channels)`, in [0, 1] for sigmoids.

    Raises:
        ValueError: If the rank is not 3 to 5, the number of channels is unknown, or an argument
            is out of range.

    Example:

    >>> keras_capsules.SqueezeExcitation()(keras.random.normal((2, 8, 8, 64))).shape
    (2, 8, 8, 64)

    Reference:
        Hu, Shen, Albanie, Sun, Wu, 2018, arXiv 1709.01507.
    """

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
        super().__init__(**kwargs)
        self.reduction_ratio = reduction_ratio
        self.reduced_channels = reduced_channels
        self.divisor = divisor
        self.activation = keras.activations.get(activation)
        self.gate_activation = keras.activations.get(gate_activation)
        self.use_bias = use_bias
        self.data_format = data_format or keras.config.image_data_format()
        self.supports_masking = True

    def build(self, input_shape):
        rank = len(input_shape)
        if rank not in (3, 4, 5):
            raise ValueError(
                f"{self.name} expects an input of rank 3 (sequence), 4 (image) or 5 (volume). "
                f"Received: input_shape={tuple(input_shape)}"
            )
        channels = input_shape[self._channel_axis(rank)]
        if channels is None:
            raise ValueError(
                f"{self.name} needs the number of channels to create its weights. Fix it in the "
                f"input's shape. Received: input_shape={tuple(input_shape)}"
            )
        convolution = {3: keras.layers.Conv1D, 4: keras.layers.Conv2D, 5: keras.layers.Conv3D}[rank]
        options = {
            "kernel_size": 1,
            "use_bias": self.use_bias,
            "data_format": "channels_last",
            "dtype": self.dtype_policy,
        }
        # Convolutions over one position: the exported graph then keeps the layout of the
        # convolutions around the block, where dense layers would need transposes.
        width = self._reduced_width(channels)
        self.reduce = convolution(width, activation=self.activation, name="reduce", **options)
        self.excite = convolution(
            channels, activation=self.gate_activation, name="excite", **options
        )
        squeezed = (input_shape[0], *[1] * (rank - 2))
        self.reduce.build((*squeezed, channels))
        self.excite.build((*squeezed, width))
        self.built = True

    def call(self, inputs, mask=None, return_gates=False):
        rank = len(inputs.shape)
        channels_first = self._channel_axis(rank) == 1
        channels = inputs.shape[self._channel_axis(rank)]
        squeezed = self._squeeze(inputs, mask)
        if channels_first:
            squeezed = ops.reshape(squeezed, (-1, *[1] * (rank - 2), channels))
        gates = self.excite(self.reduce(squeezed))
        weights = gates
        if channels_first:
            weights = ops.reshape(gates, (-1, channels, *[1] * (rank - 2)))
        outputs = inputs * weights
        return (outputs, ops.reshape(gates, (-1, channels))) if return_gates else outputs

    def compute_output_shape(self, input_shape):
        return tuple(input_shape)

    def compute_output_spec(self, inputs, mask=None, return_gates=False):
        outputs = keras.KerasTensor(inputs.shape, self.compute_dtype)
        if not return_gates:
            return outputs
        channels = inputs.shape[self._channel_axis(len(inputs.shape))]
        return outputs, keras.KerasTensor((inputs.shape[0], channels), self.compute_dtype)

    def get_config(self):
        return {
            **super().get_config(),
            "reduction_ratio": self.reduction_ratio,
            "reduced_channels": self.reduced_channels,
            "divisor": self.divisor,
            "activation": keras.activations.serialize(self.activation),
            "gate_activation": keras.activations.serialize(self.gate_activation),
            "use_bias": self.use_bias,
            "data_format": self.data_format,
        }

    def _channel_axis(self, rank):
        return 1 if self.data_format == "channels_first" else rank - 1

    def _reduced_width(self, channels):
        width = self.reduced_channels or int(channels / self.reduction_ratio)
        rounded = (width + self.divisor // 2) // self.divisor * self.divisor
        return max(self.divisor, rounded)

    def _squeeze(self, inputs, mask):
        """Averages over the positions, which stay as axes of size 1; in float32 or wider."""
        rank = len(inputs.shape)
        channel_axis = self._channel_axis(rank)
        positions = tuple(axis for axis in range(1, rank) if axis != channel_axis)
        values = at_least_float32(inputs)
        if mask is None:
            mean = ops.mean(values, axis=positions, keepdims=True)
        elif rank != 3:
            raise ValueError(
                f"{self.name} takes a mask with sequences only, inputs of rank 3. "
                f"Received: mask with inputs.shape={tuple(inputs.shape)}"
            )
        else:
            present = ops.expand_dims(ops.cast(mask, "bool"), channel_axis)
            count = ops.sum(ops.cast(present, values.dtype), axis=positions, keepdims=True)
            total = ops.sum(ops.where(present, values, 0.0), axis=positions, keepdims=True)
            mean = total / ops.maximum(count, 1.0)
        return ops.cast(mean, inputs.dtype)
