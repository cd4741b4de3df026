"""Implements spatial squeeze-and-excitation: one gate for each position."""

from typing import Any

import keras

from keras_capsules.attention._shared_docs import documented
from keras_capsules.attention.base import AttentionLayer


@keras.saving.register_keras_serializable(package="keras_capsules")
@documented
class SpatialSqueezeExcitation(AttentionLayer):
    """Weighs each position by a gate computed from its channels.

    `gates = sigmoid(w @ x + b)`, `y = x * gates`

    Settings that others use: the defaults are those of the authors' released code.

    Args:
        {gate_activation}
        {use_bias}
        {data_format}

    Call arguments:
        {inputs}
        mask: Boolean tensor `(batch, steps)`, for sequences. Each step has its own gate, so the
            mask changes nothing.
        {return_gates}

    Output shape:
        The input's shape; with `return_gates=True` the pair of the outputs and of gates
        `(batch, positions...)`.

    Raises:
        ValueError: If the rank is not 3 to 5, or the number of channels is unknown.

    Example:

    >>> layer = keras_capsules.SpatialSqueezeExcitation()
    >>> layer(keras.random.normal((2, 8, 8, 64))).shape
    (2, 8, 8, 64)

    Reference:
        Roy, Navab, Wachinger, 2018, arXiv 1803.02579.
    """

    def __init__(
        self,
        gate_activation="sigmoid",
        use_bias: bool = True,
        data_format: str | None = None,
        **kwargs,
    ):
        super().__init__(data_format=data_format, **kwargs)
        self.gate_activation = keras.activations.get(gate_activation)
        self.use_bias = use_bias

    def build_attention(self, shape: tuple) -> None:
        self.excite = self.convolution(shape, 1, "excite", use_bias=self.use_bias)

    def attend(self, inputs: Any, mask: Any, training: bool | None) -> tuple[Any, Any]:
        gates = self.gate_activation(self.excite(self.to_channels_last(inputs)))
        return inputs * self.from_channels_last(gates), gates[..., 0]

    def attention_shapes(self, shape: tuple) -> tuple[tuple, ...]:
        return (shape[:-1],)

    def get_config(self) -> dict[str, Any]:
        return {
            **super().get_config(),
            "gate_activation": keras.activations.serialize(self.gate_activation),
            "use_bias": self.use_bias,
        }
