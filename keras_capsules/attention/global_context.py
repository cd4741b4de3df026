"""Implements global context: an average in which each position counts by how much it matters."""

from typing import Any

import keras
from keras import layers, ops

from keras_capsules.attention._shared_docs import documented
from keras_capsules.attention.base import ReducingAttention, channels_first, channels_last
from keras_capsules.ops import at_least_float32

FUSIONS = ("add", "multiply", "both")


@keras.saving.register_keras_serializable(package="keras_capsules")
@documented
class GlobalContext(ReducingAttention):
    """Adds to each channel, or weighs it by, what an attentive average of all positions says.

    `context = sum_j softmax_j(w @ x_j + b) * x_j` over the positions j
    `t = W2 @ relu(normalize(W1 @ context + b1)) + b2`
    `y = x + t` (`"add"`), `y = x * sigmoid(t)` (`"multiply"`), or `y = x * sigmoid(t) + t'`
    (`"both"`, where t' has separate weights)

    The normalization is over the hidden channels, with epsilon 1e-5. W2 and b2 of what is added are
    zero at first, so a new layer with `"add"` returns its input.

    Settings that others use: the defaults are those of the authors' released code, which trained
    with `reduction_ratio` 16 and 4. timm's are `fusion="multiply", reduction_ratio=8`.

    Args:
        {reducing_arguments}
        fusion: `"add"`, `"multiply"` or `"both"`. Defaults to `"add"`.
        {activation}
        gate_activation: String or callable. Activation of the factors. Defaults to `"sigmoid"`.
        {use_bias}
        {data_format}

    Call arguments:
        {inputs}
        mask: Boolean tensor `(batch, steps)`, for sequences. Masked steps stay out of the context.
        return_gates: Boolean. Whether to return the softmax as well. Defaults to `False`.

    Output shape:
        The input's shape; with `return_gates=True` the pair of the outputs and of the softmax
        `(batch, positions...)`, whose sum is one.

    Raises:
        ValueError: If the rank is not 3 to 5, the number of channels is unknown, or an argument
            is out of range.

    Example:

    >>> x = keras.random.normal((2, 8, 8, 64))
    >>> outputs, gates = keras_capsules.GlobalContext()(x, return_gates=True)
    >>> outputs.shape, gates.shape
    ((2, 8, 8, 64), (2, 8, 8))

    Reference:
        Cao, Xu, Lin, Wei, Hu, 2019, arXiv 1904.11492.
    """

    def __init__(
        self,
        reduction_ratio: float = 16,
        reduced_channels: int | None = None,
        divisor: int = 1,
        fusion: str = "add",
        activation="relu",
        gate_activation="sigmoid",
        use_bias: bool = True,
        data_format: str | None = None,
        **kwargs,
    ):
        if fusion not in FUSIONS:
            raise ValueError(
                f"`fusion` must be one of {', '.join(FUSIONS)}. Received: fusion={fusion!r}"
            )
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
        self.fusion = fusion

    def build_attention(self, shape: tuple) -> None:
        self.attention = self.convolution(shape, 1, "attention", use_bias=self.use_bias)
        if self.fusion != "add":
            self.multiply = self._transform(shape, "multiply", "glorot_uniform")
        if self.fusion != "multiply":
            self.add = self._transform(shape, "add", "zeros")

    def attend(self, inputs: Any, mask: Any, training: bool | None) -> tuple[Any, Any]:
        present = self.present(inputs, mask)
        values = inputs if present is None else ops.where(present, inputs, 0.0)
        logits = self.attention(self.to_channels_last(values))
        weights = self._softmax(at_least_float32(channels_first(logits)), mask)
        spread = self.from_channels_last(channels_last(weights))
        axes = self.position_axes(len(inputs.shape))
        context = ops.sum(at_least_float32(values) * spread, axis=axes, keepdims=True)
        context = ops.cast(self.to_channels_last(context), inputs.dtype)
        outputs = inputs
        if self.fusion != "add":
            gates = self.gate_activation(self._apply(self.multiply, context))
            outputs = outputs * self.from_channels_last(gates)
        if self.fusion != "multiply":
            outputs = outputs + self.from_channels_last(self._apply(self.add, context))
        return outputs, ops.cast(ops.squeeze(weights, 1), inputs.dtype)

    def attention_shapes(self, shape: tuple) -> tuple[tuple, ...]:
        return (shape[:-1],)

    def get_config(self) -> dict[str, Any]:
        return {**super().get_config(), "fusion": self.fusion}

    def _softmax(self, logits, mask):
        """Over the positions of logits `(batch, 1, positions...)`, of which there may be any."""
        if mask is not None:
            logits = ops.where(ops.expand_dims(ops.cast(mask, "bool"), 1), logits, -1e9)
        axes = tuple(range(2, len(logits.shape)))
        weights = ops.exp(logits - ops.max(logits, axis=axes, keepdims=True))
        return weights / ops.sum(weights, axis=axes, keepdims=True)

    def _transform(self, shape, name, initializer):
        channels, width = shape[-1], self.reduced_width(shape[-1])
        one = (shape[0], *[1] * (len(shape) - 2))
        bias = {"use_bias": self.use_bias}
        normalize = layers.LayerNormalization(
            epsilon=1e-5, dtype=self.dtype_policy, name=f"{name}_normalize"
        )
        normalize.build((*one, width))
        return [
            self.convolution((*one, channels), width, f"{name}_reduce", **bias),
            normalize,
            self.convolution(
                (*one, width), channels, f"{name}_excite", kernel_initializer=initializer, **bias
            ),
        ]

    def _apply(self, transform, context):
        reduce, normalize, excite = transform
        return excite(self.activation(normalize(reduce(context))))
