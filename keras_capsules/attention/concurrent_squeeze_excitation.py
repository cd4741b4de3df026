"""Concurrent squeeze-and-excitation (scSE): gates for channels and for positions, side by side."""

import keras
from keras import ops

from keras_capsules.attention.base import ReducingAttention
from keras_capsules.attention.spatial_squeeze_excitation import SpatialSqueezeExcitation
from keras_capsules.attention.squeeze_excitation import SqueezeExcitation

MODES = {"max": ops.maximum, "add": ops.add, "multiply": ops.multiply}


@keras.saving.register_keras_serializable(package="keras_capsules")
class ConcurrentSqueezeExcitation(ReducingAttention):
    """Weighs by a gate for each channel and by one for each position, and joins the two results.

    `y = mode(x * channel_gates, x * position_gates)`, the gates as in `SqueezeExcitation` and
    `SpatialSqueezeExcitation`

    Settings that others use: the defaults are those of the authors' released code; the text of
    the paper says `mode="add"`.

    Args:
        reduction_ratio: Integer or float. Channels divided by it are the width of the hidden
            layer. Defaults to `2`.
        reduced_channels: Integer or `None`. That width itself, in place of the ratio.
        divisor: Integer. That quotient is rounded to a multiple of it, and is at least that.
            Defaults to `1`.
        mode: `"max"`, `"add"` or `"multiply"`. Joins the two weighed inputs. Defaults to `"max"`.
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
        That of the input; with `return_gates=True` the pair of that and of the pair of gates
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
            reduction_ratio,
            reduced_channels,
            divisor,
            activation,
            gate_activation,
            use_bias,
            data_format,
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
            reduction_ratio,
            reduced_channels,
            divisor,
            self.activation,
            name="channel",
            **common,
        )
        self.spatial = SpatialSqueezeExcitation(name="spatial", **common)

    def build(self, input_shape):
        self.channel.build(input_shape)
        self.spatial.build(input_shape)
        self.built = True

    def attend(self, inputs, mask, training):
        by_channel, channel_gates = self.channel(inputs, mask=mask, return_gates=True)
        by_position, position_gates = self.spatial(inputs, return_gates=True)
        return MODES[self.mode](by_channel, by_position), (channel_gates, position_gates)

    def gates_shape(self, shape):
        return [(shape[0], shape[-1]), shape[:-1]]

    def get_config(self):
        return {**super().get_config(), "mode": self.mode}
