"""Implements effective squeeze-and-excitation (eSE), which has no hidden layer."""

from typing import Any

import keras

from keras_capsules.attention._shared_docs import documented
from keras_capsules.attention.base import AttentionLayer


@keras.saving.register_keras_serializable(package="keras_capsules")
@documented
class EffectiveSqueezeExcitation(AttentionLayer):
    """Weighs each channel by a gate computed from the mean of all channels, without a hidden layer.

    `gates = hard_sigmoid(W @ mean(x, positions) + b)`, `y = x * gates`, where
    `hard_sigmoid(z) = clip(z / 6 + 1 / 2, 0, 1)`

    It has `channels * (channels + 1)` parameters, which are many if there are many channels.

    Settings that others use: the defaults are those of the authors' released code and of timm.

    Args:
        {gate_activation}
        {use_bias}
        {data_format}

    Call arguments:
        {inputs}
        {mask}
        {return_gates}

    Output shape:
        The input's shape; with `return_gates=True` the pair of the outputs and of gates
        `(batch, channels)`.

    Raises:
        ValueError: If the rank is not 3 to 5, or the number of channels is unknown.

    Example:

    >>> layer = keras_capsules.EffectiveSqueezeExcitation()
    >>> layer(keras.random.normal((2, 8, 8, 64))).shape
    (2, 8, 8, 64)

    Reference:
        Lee, Park, 2020, arXiv 1911.06667.
    """

    def __init__(
        self,
        gate_activation="hard_sigmoid",
        use_bias: bool = True,
        data_format: str | None = None,
        **kwargs,
    ):
        super().__init__(data_format=data_format, **kwargs)
        self.gate_activation = keras.activations.get(gate_activation)
        self.use_bias = use_bias

    def build_attention(self, shape: tuple) -> None:
        one = (shape[0], *[1] * (len(shape) - 2), shape[-1])
        self.excite = self.convolution(one, shape[-1], "excite", use_bias=self.use_bias)

    def attend(self, inputs: Any, mask: Any, training: bool | None) -> tuple[Any, Any]:
        return self.gate_channels(inputs, self.excite(self.squeeze(inputs, mask)))

    def get_config(self) -> dict[str, Any]:
        return {
            **super().get_config(),
            "gate_activation": keras.activations.serialize(self.gate_activation),
            "use_bias": self.use_bias,
        }
