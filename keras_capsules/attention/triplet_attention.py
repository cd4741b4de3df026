"""Implements triplet attention: gates over each pair of the axes height, width and channels."""

from typing import Any

import keras
from keras import ops

from keras_capsules.attention._shared_docs import documented
from keras_capsules.attention.base import AttentionLayer, channels_first, channels_last
from keras_capsules.ops import at_least_float32

POOLED = (2, 3, 1)  # Height, width and channels, with the channels first.


@keras.saving.register_keras_serializable(package="keras_capsules")
@documented
class TripletAttention(AttentionLayer):
    """Weighs by three maps, each computed with one axis pooled away, and averages the results.

    `gates_a = sigmoid(normalize(convolution_a([max(x, a), mean(x, a)])))` for each axis a of
    height, width and channels; `y = mean_a(x * gates_a)`

    Each convolution has one filter, no bias, and a batch normalization with epsilon 1e-5 and
    momentum 0.99 (0.01 in PyTorch's terms).

    Settings that others use: the defaults are those of the authors' released code, whose
    `no_spatial=True` is `spatial=False`. Its convolution without the width has the axes
    (height, channels), here (channels, height): transpose that kernel.

    Args:
        kernel_size: Integer. Side of the convolutions. Defaults to `7`.
        spatial: Boolean. Whether the map over height and width is one of them. Defaults to `True`.
        {gate_activation}
        {data_format}

    Call arguments:
        {image_inputs}
        {return_gates}
        {training}

    Output shape:
        The input's shape; with `return_gates=True` the pair of the outputs and of gates
        `(batch, channels, width)`, `(batch, channels, height)` and, with `spatial=True`,
        `(batch, height, width)`.

    Raises:
        ValueError: If the rank is not 4, or the number of channels is unknown.

    Example:

    >>> keras_capsules.TripletAttention()(keras.random.normal((2, 8, 6, 64))).shape
    (2, 8, 6, 64)

    Reference:
        Misra, Nalamada, Arasanipalai, Hou, 2021, arXiv 2010.03045.
    """

    ranks = (4,)

    def __init__(
        self,
        kernel_size: int = 7,
        spatial: bool = True,
        gate_activation="sigmoid",
        data_format: str | None = None,
        **kwargs,
    ):
        super().__init__(data_format=data_format, **kwargs)
        self.kernel_size = kernel_size
        self.spatial = spatial
        self.gate_activation = keras.activations.get(gate_activation)

    def build_attention(self, shape: tuple) -> None:
        self.convolutions, self.normalizations = [], []
        pooled_axes = ("height", "width", "channels")
        for name, map_shape in zip(pooled_axes, self.attention_shapes(shape), strict=False):
            self.convolutions.append(
                self.convolution(
                    (*map_shape, 2), 1, name, kernel_size=self.kernel_size, use_bias=False
                )
            )
            self.normalizations.append(
                self.normalization((*map_shape, 1), f"{name}_normalize", momentum=0.99)
            )

    def attend(self, inputs: Any, mask: Any, training: bool | None) -> tuple[Any, Any]:
        all_gates = [self._gates(inputs, m, training) for m in range(len(self.convolutions))]
        outputs = sum(
            inputs * self.from_channels_last(channels_last(ops.expand_dims(gates, axis)))
            for gates, axis in zip(all_gates, POOLED, strict=False)
        )
        return outputs * (1.0 / len(all_gates)), tuple(all_gates)

    def attention_shapes(self, shape: tuple) -> tuple[tuple, ...]:
        batch, height, width, channels = shape
        shapes = (batch, channels, width), (batch, channels, height), (batch, height, width)
        return shapes if self.spatial else shapes[:2]

    def get_config(self) -> dict[str, Any]:
        return {
            **super().get_config(),
            "kernel_size": self.kernel_size,
            "spatial": self.spatial,
            "gate_activation": keras.activations.serialize(self.gate_activation),
        }

    def _gates(self, inputs, number, training):
        axis = (*self.position_axes(4), self.channel_axis(4))[number]
        highest = ops.max(inputs, axis=axis, keepdims=True)
        mean = ops.mean(at_least_float32(inputs), axis=axis, keepdims=True)
        maps = [
            ops.squeeze(channels_first(self.to_channels_last(x)), POOLED[number])
            for x in (highest, ops.cast(mean, inputs.dtype))
        ]
        maps = ops.concatenate([ops.expand_dims(x, 1) for x in maps], axis=1)
        gates = self.convolutions[number](channels_last(maps))
        gates = self.gate_activation(self.normalizations[number](gates, training=training))
        return ops.squeeze(channels_first(gates), 1)
