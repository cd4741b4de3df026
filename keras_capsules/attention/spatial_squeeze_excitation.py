"""Spatial squeeze-and-excitation: one gate for each position."""

import keras

from keras_capsules.attention.base import AttentionLayer


@keras.saving.register_keras_serializable(package="keras_capsules")
class SpatialSqueezeExcitation(AttentionLayer):
    """Weighs each position by a gate computed from its channels.

    `gates = sigmoid(w @ x + b)`, `y = x * gates`

    Settings that others use: the defaults are those of the authors' released code.

    Args:
        gate_activation: String or callable, of the gates. Defaults to `"sigmoid"`.
        use_bias: Boolean. Defaults to `True`.
        data_format: `"channels_last"`, `"channels_first"` or `None`, which stands for
            `keras.config.image_data_format()`.

    Call arguments:
        inputs: Tensor of rank 3 to 5: `(batch, positions..., channels)`, or
            `(batch, channels, positions...)` with `"channels_first"`.
        mask: Boolean tensor `(batch, steps)`, for sequences. Each step has its own gate, so it
            changes nothing.
        return_gates: Boolean. Whether to return the gates as well. Defaults to `False`.

    Output shape:
        That of the input; with `return_gates=True` the pair of that and of gates
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
        super().__init__(data_format, **kwargs)
        self.gate_activation = keras.activations.get(gate_activation)
        self.use_bias = use_bias

    def build_attention(self, shape):
        self.excite = self.convolution(shape, 1, "excite", use_bias=self.use_bias)

    def attend(self, inputs, mask, training):
        gates = self.gate_activation(self.excite(self.to_channels_last(inputs)))
        return inputs * self.from_channels_last(gates), gates[..., 0]

    def gates_shape(self, shape):
        return shape[:-1]

    def get_config(self):
        return {
            **super().get_config(),
            "gate_activation": keras.activations.serialize(self.gate_activation),
            "use_bias": self.use_bias,
        }
