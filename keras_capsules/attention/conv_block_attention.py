"""Implements convolutional block attention (CBAM): gates for channels, then for positions."""

from typing import Any

import keras
from keras import ops

from keras_capsules.attention._shared_docs import documented
from keras_capsules.attention.base import ReducingAttention
from keras_capsules.ops import at_least_float32


@keras.saving.register_keras_serializable(package="keras_capsules")
@documented
class ConvBlockAttention(ReducingAttention):
    """Weighs channels by their means and maxima, then positions by theirs.

    `mlp(z) = W2 @ relu(W1 @ z + b1) + b2`
    `c = sigmoid(mlp(mean(x, positions)) + mlp(max(x, positions)))`, `x' = x * c`
    `s = sigmoid(normalize(convolution([max(x', channels), mean(x', channels)])))`, `y = x' * s`

    The convolution has one filter and no bias; batch normalization follows it, with epsilon 1e-5
    and momentum 0.99 (0.01 in PyTorch's terms).

    Settings that others use: the defaults are those of the authors' released code. timm leaves out
    the biases, `use_bias=False`, and stacks (mean, max), so exchange the two input channels of its
    spatial kernel.

    Args:
        {reducing_arguments}
        kernel_size: Integer. Side of the convolution over the positions. Defaults to `7`.
        {activation}
        gate_activation: String or callable. Activation of both kinds of gates. Defaults to
            `"sigmoid"`.
        use_bias: Boolean. Whether the layers of `mlp` have biases. Defaults to `True`.
        {data_format}

    Call arguments:
        {inputs}
        mask: Boolean tensor `(batch, steps)`, for sequences. Masked steps stay out of means,
            maxima and the convolution.
        {return_gates}
        {training}

    Output shape:
        The input's shape; with `return_gates=True` the pair of the outputs and of the pair of gates
        `(batch, channels)` and `(batch, positions...)`.

    Raises:
        ValueError: If the rank is not 3 to 5, the number of channels is unknown, or an argument
            is out of range.

    Example:

    >>> keras_capsules.ConvBlockAttention()(keras.random.normal((2, 8, 8, 64))).shape
    (2, 8, 8, 64)

    Reference:
        Woo, Park, Lee, Kweon, 2018, arXiv 1807.06521.
    """

    def __init__(
        self,
        reduction_ratio: float = 16,
        reduced_channels: int | None = None,
        divisor: int = 1,
        kernel_size: int = 7,
        activation="relu",
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
        self.kernel_size = kernel_size

    def build_attention(self, shape: tuple) -> None:
        self.build_excitation(shape)
        self.spatial = self.convolution(
            (*shape[:-1], 2), 1, "spatial", kernel_size=self.kernel_size, use_bias=False
        )
        self.normalize = self.normalization((*shape[:-1], 1), "normalize", momentum=0.99)

    def attend(self, inputs: Any, mask: Any, training: bool | None) -> tuple[Any, Any]:
        present = self.present(inputs, mask)
        squeezed = self.excite(self.reduce(self.squeeze(inputs, mask)))
        highest = self.excite(self.reduce(self._maximum(inputs, present)))
        weighed, channel_gates = self.gate_channels(inputs, squeezed + highest)
        axis = self.channel_axis(len(inputs.shape))
        maps = [
            ops.max(weighed, axis=axis, keepdims=True),
            ops.cast(ops.mean(at_least_float32(weighed), axis=axis, keepdims=True), weighed.dtype),
        ]
        if present is not None:
            maps = [ops.where(present, x, 0.0) for x in maps]
        pooled = ops.concatenate([self.to_channels_last(x) for x in maps], axis=-1)
        gates = self.gate_activation(self.normalize(self.spatial(pooled), training=training))
        return weighed * self.from_channels_last(gates), (channel_gates, gates[..., 0])

    def attention_shapes(self, shape: tuple) -> tuple[tuple, ...]:
        return (shape[0], shape[-1]), shape[:-1]

    def get_config(self) -> dict[str, Any]:
        return {**super().get_config(), "kernel_size": self.kernel_size}

    def _maximum(self, inputs, present):
        axes = self.position_axes(len(inputs.shape))
        if present is None:
            return self.to_channels_last(ops.max(inputs, axis=axes, keepdims=True))
        highest = ops.max(ops.where(present, inputs, -float("inf")), axis=axes, keepdims=True)
        anything = ops.any(present, axis=axes, keepdims=True)
        return self.to_channels_last(ops.where(anything, highest, 0.0))
