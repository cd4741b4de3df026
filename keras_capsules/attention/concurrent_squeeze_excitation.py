"""Implements concurrent squeeze-and-excitation (scSE): gates for channels and for positions."""

from typing import Any

import keras
from keras import ops

from keras_capsules.attention._shared_docs import documented
from keras_capsules.attention.base import ReducingAttention
from keras_capsules.attention.spatial_squeeze_excitation import SpatialSqueezeExcitation
from keras_capsules.attention.squeeze_excitation import SqueezeExcitation

MODES = {"max": ops.maximum, "add": ops.add, "multiply": ops.multiply}


@keras.saving.register_keras_serializable(package="keras_capsules")
@documented
class ConcurrentSqueezeExcitation(ReducingAttention):
    """Weighs by a gate for each channel and by one for each position, and joins the two results.

    `y = mode(x * channel_gates, x * position_gates)`, the gates as in `SqueezeExcitation` and
    `SpatialSqueezeExcitation`

    Settings that others use: the defaults are those of the authors' released code; the text of
    the paper says `mode="add"`.

    Args:
        {reducing_arguments}
        mode: `"max"`, `"add"` or `"multiply"`. Joins the two weighed inputs. Defaults to `"max"`.
        {activation}
        {gate_activation}
        {use_bias}
        {data_format}

    Call arguments:
        {inputs}
        {mask}
        {return_gates}

    Output shape:
        The input's shape; with `return_gates=True` the pair of the outputs and of the pair of gates
        `(batch, channels)` and `(batch, positions...)`.

    Raises:
        ValueError: If the rank is not 3 to 5, the number of channels is unknown, or an argument
            is out of range.

    Example:

    >>> layer = keras_capsules.ConcurrentSqueezeExcitation(mode="add")
    >>> layer(keras.random.normal((2, 8, 8, 64))).shape
    (2, 8, 8, 64)

    Reference:
        Roy, Navab, Wachinger, 2018, arXiv 1803.02579.
    """

    def __init__(
        self,
        reduction_ratio: float = 2,
        reduced_channels: int | None = None,
        divisor: int = 1,
        mode: str = "max",
        activation="relu",
        gate_activation="sigmoid",
        use_bias: bool = True,
        data_format: str | None = None,
        **kwargs,
    ):
        if mode not in MODES:
            raise ValueError(f"`mode` must be one of {', '.join(MODES)}. Received: mode={mode!r}")
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
        self.mode = mode
        common = {
            "gate_activation": self.gate_activation,
            "use_bias": use_bias,
            "data_format": self.data_format,
            "dtype": self.dtype_policy,
        }
        self.channel = SqueezeExcitation(
            reduction_ratio=reduction_ratio,
            reduced_channels=reduced_channels,
            divisor=divisor,
            activation=self.activation,
            name="channel",
            **common,
        )
        self.spatial = SpatialSqueezeExcitation(name="spatial", **common)

    def build(self, input_shape):
        self.channel.build(input_shape)
        self.spatial.build(input_shape)
        self.built = True

    def attend(self, inputs: Any, mask: Any, training: bool | None) -> tuple[Any, Any]:
        by_channel, channel_gates = self.channel(inputs, mask=mask, return_gates=True)
        by_position, position_gates = self.spatial(inputs, return_gates=True)
        return MODES[self.mode](by_channel, by_position), (channel_gates, position_gates)

    def attention_shapes(self, shape: tuple) -> tuple[tuple, ...]:
        return (shape[0], shape[-1]), shape[:-1]

    def get_config(self) -> dict[str, Any]:
        return {**super().get_config(), "mode": self.mode}
