"""Implements efficient channel attention (ECA): a convolution over the channels."""

import math
from typing import Any

import keras
from keras import ops

from keras_capsules.attention._shared_docs import documented
from keras_capsules.attention.base import AttentionLayer, channels_first, channels_last


@keras.saving.register_keras_serializable(package="keras_capsules")
@documented
class EfficientChannelAttention(AttentionLayer):
    """Weighs each channel by a gate computed from the means of the channels next to it.

    `gates = sigmoid(convolution(mean(x, positions)))`, one filter over the channel axis with
    zeros beyond its ends; `y = x * gates`

    Settings that others use: by default the kernel size follows the paper's formula,
    `t = int((log2(channels) + 1) / 2)`, `t` or the odd number above it, at least 3: 3 for 64
    channels, 5 for 128 to 1024, 7 for 2048. timm's default is 3 for all. The authors' released
    ResNet-50 has `kernel_size` 3, 5, 5 and 7 in its four stages (80 weights), where the formula
    says 5, 5, 5 and 7 (86).

    Args:
        kernel_size: Odd integer or `None`. Number of channels that a gate depends on. Defaults to
            `None`, the formula.
        {gate_activation}
        {data_format}

    Call arguments:
        {inputs}
        {mask}
        {return_gates}

    Output shape:
        The input's shape; with `return_gates=True` the pair of the outputs and of gates
        `(batch, channels)`.

    Raises:
        ValueError: If the rank is not 3 to 5, the number of channels is unknown, or the kernel
            size is even or not positive.

    Example:

    >>> layer = keras_capsules.EfficientChannelAttention()
    >>> layer(keras.random.normal((2, 8, 8, 64))).shape
    (2, 8, 8, 64)
    >>> layer.count_params()
    3

    Reference:
        Wang, Wu, Zhu, Li, Zuo, Hu, 2020, arXiv 1910.03151.
    """

    def __init__(
        self,
        kernel_size: int | None = None,
        gate_activation="sigmoid",
        data_format: str | None = None,
        **kwargs,
    ):
        if kernel_size is not None and (kernel_size < 1 or kernel_size % 2 == 0):
            raise ValueError(
                "`kernel_size` must be odd, with as many channels before a channel as after it, "
                f"or None. Received: kernel_size={kernel_size!r}"
            )
        super().__init__(data_format=data_format, **kwargs)
        self.kernel_size = kernel_size
        self.gate_activation = keras.activations.get(gate_activation)

    def build_attention(self, shape: tuple) -> None:
        size = self.kernel_size
        if size is None:
            size = int((math.log2(shape[-1]) + 1) / 2)
            size = max(3, size + 1 - size % 2)
        self.excite = self.convolution(
            (shape[0], shape[-1], 1), 1, "excite", kernel_size=size, use_bias=False
        )

    def attend(self, inputs: Any, mask: Any, training: bool | None) -> tuple[Any, Any]:
        squeezed = channels_first(self.squeeze(inputs, mask))
        channels = squeezed.shape[1]
        logits = self.excite(ops.reshape(squeezed, (-1, channels, 1)))
        logits = ops.reshape(logits, (-1, channels, *[1] * (len(inputs.shape) - 2)))
        return self.gate_channels(inputs, channels_last(logits))

    def get_config(self) -> dict[str, Any]:
        return {
            **super().get_config(),
            "kernel_size": self.kernel_size,
            "gate_activation": keras.activations.serialize(self.gate_activation),
        }
