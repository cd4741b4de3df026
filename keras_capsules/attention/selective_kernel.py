"""Implements selective kernels: convolutions of several reaches, one chosen per channel."""

from typing import Any

import keras
from keras import ops

from keras_capsules.attention._shared_docs import documented
from keras_capsules.attention.base import ReducingAttention, channels_first, channels_last
from keras_capsules.ops import at_least_float32


@keras.saving.register_keras_serializable(package="keras_capsules")
@documented
class SelectiveKernel(ReducingAttention):
    """Convolves with several reaches, and weighs for each channel which one counts.

    `u_m = relu(normalize(convolution_m(x)))`, of size 3 x 3 and dilation m = 1, 2, ...
    `z = relu(normalize(W @ mean(sum_m u_m, positions)))`
    `y = sum_m softmax_m(A_m @ z) * u_m`

    No layer has a bias. Batch normalization has epsilon 1e-5 and momentum 0.9 (0.1 in PyTorch's
    terms).

    Settings that others use: the paper and the authors' released code have `groups=32` (SK-Net's
    convolutions); the other defaults are theirs. timm splits the input channels over the branches
    by default, which this layer does not do.

    Args:
        branches: Integer. Number of convolutions. Defaults to `2`.
        groups: Integer. Groups of channels that the convolutions keep apart. Defaults to `1`.
        {reducing_arguments}
        {min_channels}
        activation: String or callable. Activation of the branches and of the hidden layer. Defaults
            to `"relu"`.
        {data_format}

    Call arguments:
        {image_inputs}
        return_gates: Boolean. Whether to return the softmax as well. Defaults to `False`.
        {training}

    Output shape:
        The input's shape; with `return_gates=True` the pair of the outputs and of the softmax
        `(batch, branches, channels)`, whose sum over the branches is one.

    Raises:
        ValueError: If the rank is not 4, the number of channels is unknown or not divisible by
            `groups`, or an argument is out of range.

    Example:

    >>> x = keras.random.normal((2, 8, 8, 64))
    >>> outputs, gates = keras_capsules.SelectiveKernel()(x, return_gates=True)
    >>> outputs.shape, gates.shape
    ((2, 8, 8, 64), (2, 2, 64))

    Reference:
        Li, Wang, Hu, Yang, 2019, arXiv 1903.06586.
    """

    ranks = (4,)

    def __init__(
        self,
        branches: int = 2,
        groups: int = 1,
        reduction_ratio: float = 16,
        reduced_channels: int | None = None,
        divisor: int = 1,
        min_channels: int = 32,
        activation="relu",
        data_format: str | None = None,
        **kwargs,
    ):
        for name, value in (("branches", branches), ("groups", groups)):
            if value <= 0:
                raise ValueError(f"`{name}` must be positive. Received: {name}={value!r}")
        super().__init__(
            reduction_ratio=reduction_ratio,
            reduced_channels=reduced_channels,
            divisor=divisor,
            activation=activation,
            data_format=data_format,
            **kwargs,
        )
        self.branches = branches
        self.groups = groups
        self.min_channels = min_channels

    def build_attention(self, shape: tuple) -> None:
        channels, width = shape[-1], self.reduced_width(shape[-1])
        one = (shape[0], 1, 1)
        self.convolutions, self.normalizations = [], []
        for number in range(1, self.branches + 1):
            self.convolutions.append(
                self.convolution(
                    shape,
                    channels,
                    f"branch_{number}",
                    kernel_size=3,
                    dilation_rate=number,
                    groups=self.groups,
                    use_bias=False,
                )
            )
            self.normalizations.append(self.normalization(shape, f"branch_{number}_normalize"))
        self.reduce = self.convolution((*one, channels), width, "reduce", use_bias=False)
        self.normalize = self.normalization((*one, width), "normalize")
        self.select = self.convolution(
            (*one, width), channels * self.branches, "select", use_bias=False
        )

    def attend(self, inputs: Any, mask: Any, training: bool | None) -> tuple[Any, Any]:
        x = self.to_channels_last(inputs)
        maps = [
            self.activation(normalize(convolve(x), training=training))
            for convolve, normalize in zip(self.convolutions, self.normalizations, strict=True)
        ]
        total = sum(at_least_float32(branch) for branch in maps)
        squeezed = ops.cast(ops.mean(total, axis=(1, 2), keepdims=True), x.dtype)
        hidden = self.activation(self.normalize(self.reduce(squeezed), training=training))
        logits = channels_first(self.select(hidden))
        logits = ops.reshape(logits, (-1, self.branches, x.shape[-1], 1, 1))
        gates = ops.cast(ops.softmax(at_least_float32(logits), axis=1), x.dtype)
        outputs = sum(branch * channels_last(gates[:, m]) for m, branch in enumerate(maps))
        return self.from_channels_last(outputs), ops.squeeze(gates, (3, 4))

    def attention_shapes(self, shape: tuple) -> tuple[tuple, ...]:
        return ((shape[0], self.branches, shape[-1]),)

    def get_config(self) -> dict[str, Any]:
        config = super().get_config()
        del config["gate_activation"], config["use_bias"]
        return {
            **config,
            "branches": self.branches,
            "groups": self.groups,
            "min_channels": self.min_channels,
        }
