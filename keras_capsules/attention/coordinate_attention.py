"""Implements coordinate attention: gates for rows and for columns, which keep positions."""

from typing import Any

import keras
from keras import ops

from keras_capsules.attention._shared_docs import documented
from keras_capsules.attention.base import ReducingAttention, channels_first, channels_last
from keras_capsules.ops import at_least_float32


@keras.saving.register_keras_serializable(package="keras_capsules")
@documented
class CoordinateAttention(ReducingAttention):
    """Weighs each channel by one gate for the row and one for the column.

    `rows, columns = split(hard_swish(normalize(W @ [mean(x, width), mean(x, height)] + b)))`
    `y = x * sigmoid(W_h @ rows + b_h) * sigmoid(W_w @ columns + b_w)`

    Batch normalization has epsilon 1e-5 and momentum 0.9 (0.1 in PyTorch's terms).

    Settings that others use: the defaults are those of the authors' released code. timm's are
    `reduction_ratio=24, divisor=8, use_bias=False`.

    Args:
        {reducing_arguments}
        {min_channels}
        {activation}
        {gate_activation}
        {use_bias}
        {data_format}

    Call arguments:
        {image_inputs}
        {return_gates}
        {training}

    Output shape:
        The input's shape; with `return_gates=True` the pair of the outputs and of the pair of gates
        `(batch, height, channels)` and `(batch, width, channels)`.

    Raises:
        ValueError: If the rank is not 4, the number of channels is unknown, or an argument is out
            of range.

    Example:

    >>> x = keras.random.normal((2, 8, 6, 64))
    >>> outputs, (rows, columns) = keras_capsules.CoordinateAttention()(x, return_gates=True)
    >>> outputs.shape, rows.shape, columns.shape
    ((2, 8, 6, 64), (2, 8, 64), (2, 6, 64))

    Reference:
        Hou, Zhou, Feng, 2021, arXiv 2103.02907.
    """

    ranks = (4,)

    def __init__(
        self,
        reduction_ratio: float = 32,
        reduced_channels: int | None = None,
        divisor: int = 1,
        min_channels: int = 8,
        activation="hard_swish",
        gate_activation="sigmoid",
        use_bias: bool = True,
        data_format: str | None = None,
        **kwargs,
    ):
        super().__init__(
            reduction_ratio=reduction_ratio,
            reduced_channels=reduced_channels,
            divisor=divisor,
            activation=activation,
            gate_activation=gate_activation,
            use_bias=use_bias,
            data_format=data_format,
            **kwargs,
        )
        self.min_channels = min_channels

    def build_attention(self, shape: tuple) -> None:
        channels, width = shape[-1], self.reduced_width(shape[-1])
        bias = {"use_bias": self.use_bias}
        line = (shape[0], None, 1)
        self.reduce = self.convolution((*line, channels), width, "reduce", **bias)
        self.normalize = self.normalization((*line, width), "normalize")
        self.excite_rows = self.convolution((*line, width), channels, "excite_rows", **bias)
        self.excite_columns = self.convolution((*line, width), channels, "excite_columns", **bias)

    def attend(self, inputs: Any, mask: Any, training: bool | None) -> tuple[Any, Any]:
        height_axis, width_axis = self.position_axes(4)
        values = at_least_float32(inputs)
        rows = self.to_channels_last(ops.mean(values, axis=width_axis, keepdims=True))
        columns = self.to_channels_last(ops.mean(values, axis=height_axis, keepdims=True))
        height = rows.shape[1] if rows.shape[1] is not None else ops.shape(rows)[1]
        lines = ops.concatenate([rows, _turn(columns, 2)], axis=1)
        hidden = self.normalize(self.reduce(ops.cast(lines, inputs.dtype)), training=training)
        hidden = self.activation(hidden)
        rows = self.gate_activation(self.excite_rows(hidden[:, :height]))
        columns = self.gate_activation(self.excite_columns(hidden[:, height:]))
        outputs = inputs * self.from_channels_last(rows)
        outputs = outputs * self.from_channels_last(_turn(columns, 3))
        return outputs, (ops.squeeze(rows, 2), ops.squeeze(columns, 2))

    def attention_shapes(self, shape: tuple) -> tuple[tuple, ...]:
        return (shape[0], shape[1], shape[3]), (shape[0], shape[2], shape[3])

    def get_config(self) -> dict[str, Any]:
        return {**super().get_config(), "min_channels": self.min_channels}


def _turn(line, axis):
    """Makes a row a column or the reverse; `axis` has size one, counted with the channels first."""
    return channels_last(ops.expand_dims(ops.squeeze(channels_first(line), axis), 5 - axis))
