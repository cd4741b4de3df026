"""Implements SimAM, which gates every value by how far it stands out, without parameters."""

from typing import Any

import keras
from keras import ops

from keras_capsules.attention._shared_docs import documented
from keras_capsules.attention.base import AttentionLayer
from keras_capsules.ops import at_least_float32

# Keeps the sums of squares of large inputs inside float32.
_SCALE = 2.0**-20


@keras.saving.register_keras_serializable(package="keras_capsules")
@documented
class SimAM(AttentionLayer):
    """Weighs each value by how far it is from the mean of its channel.

    `d = square(x - mean(x, positions))`, `v = sum(d, positions) / (n - 1)` for n positions,
    `gates = sigmoid(d / (4 * (v + regularization)) + 1 / 2)`, `y = x * gates`

    One position has `v = 0`, where the released code divides by zero.

    Settings that others use: the defaults are those of the authors' released code.

    Args:
        regularization: Float. The paper's lambda. Defaults to `1e-4`.
        {gate_activation}
        {data_format}

    Call arguments:
        {inputs}
        mask: Boolean tensor `(batch, steps)`, for sequences. Masked steps stay out of the mean and
            the variance.
        {return_gates}

    Output shape:
        The input's shape; with `return_gates=True` the pair of the outputs and of
        gates of the same shape.

    Raises:
        ValueError: If the rank is not 3 to 5, the number of channels is unknown, or the
            regularization is not positive.

    Example:

    >>> keras_capsules.SimAM()(keras.ops.ones((1, 2, 2, 1)))
    [[[[0.6224593], [0.6224593]], [[0.6224593], [0.6224593]]]]

    Reference:
        Yang, Zhang, Li, Xie, 2021, International Conference on Machine Learning.
    """

    def __init__(
        self,
        regularization: float = 1e-4,
        gate_activation="sigmoid",
        data_format: str | None = None,
        **kwargs,
    ):
        if regularization <= 0:
            raise ValueError(
                "`regularization` must be positive: it keeps constant channels from a division by "
                f"zero. Received: regularization={regularization!r}"
            )
        super().__init__(data_format=data_format, **kwargs)
        self.regularization = regularization
        self.gate_activation = keras.activations.get(gate_activation)

    def build_attention(self, shape: tuple) -> None:
        pass

    def attend(self, inputs: Any, mask: Any, training: bool | None) -> tuple[Any, Any]:
        scaled = at_least_float32(inputs) * _SCALE
        mean, variance = self.variance(scaled, mask)
        # The root first, because derivatives by the variance of large inputs leave float32.
        # A reciprocal and not a division: tf2onnx moves no transposes past divisions.
        scale = ops.reciprocal(2.0 * ops.sqrt(variance + self.regularization * _SCALE**2))
        deviations = (scaled - self.from_channels_last(mean)) * self.from_channels_last(scale)
        gates = ops.cast(self.gate_activation(deviations * deviations + 0.5), inputs.dtype)
        return inputs * gates, self.to_channels_last(gates)

    def attention_shapes(self, shape: tuple) -> tuple[tuple, ...]:
        return (shape,)

    def get_config(self) -> dict[str, Any]:
        return {
            **super().get_config(),
            "regularization": self.regularization,
            "gate_activation": keras.activations.serialize(self.gate_activation),
        }
