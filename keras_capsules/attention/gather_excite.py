"""Implements gather-excite: gates from the surroundings of each position, or from all."""

from typing import Any

import keras
import numpy as np
from keras import layers, ops

from keras_capsules._shapes import sizes_of
from keras_capsules.attention._shared_docs import documented
from keras_capsules.attention.base import ReducingAttention
from keras_capsules.ops import at_least_float32

VARIANTS = ("theta_minus", "theta", "theta_plus")
POOLINGS = {3: layers.AveragePooling1D, 4: layers.AveragePooling2D, 5: layers.AveragePooling3D}
DEPTHWISE = {3: layers.DepthwiseConv1D, 4: layers.DepthwiseConv2D}


@keras.saving.register_keras_serializable(package="keras_capsules")
@documented
class GatherExcite(ReducingAttention):
    """Weighs each channel by a gate gathered over an extent, and spread over it again.

    `y = x * sigmoid(spread(gather(x)))`

    `"theta_minus"` gathers by the mean and has no weights. `"theta"` gathers by weights, channel by
    channel: by a kernel of the map's size where the extent is global, else by log2(extent)
    convolutions of size 3 and stride 2. Batch normalization follows each, with epsilon 1e-5 and
    momentum 0.9 (0.1 in PyTorch's terms), and relu follows all but the last. `"theta_plus"` excites
    what `"theta"` gathered by `W2 @ relu(W1 @ relu(z) + b1) + b2`. The nearest gathered value is
    spread.

    Settings that others use: with the global extent the three variants are those of the authors'
    released networks; timm's `extra_params=False, use_mlp=False` is `"theta_minus"`,
    `extra_params=True, use_mlp=False` is `"theta"`; with `use_mlp=True` it differs from
    `"theta_plus"` by having no relu before `W1`.

    Args:
        variant: `"theta_minus"`, `"theta"` or `"theta_plus"`. Defaults to `"theta_minus"`.
        extent: Integer. Positions from one gathered value to the next along each axis; a power of
            two, or `0` for the whole map. Defaults to `0`.
        {reducing_arguments}
        activation: String or callable. Activation of the hidden layers. Defaults to `"relu"`.
        {gate_activation}
        use_bias: Boolean. Whether `W1` and `W2` have biases. Defaults to `True`.
        {data_format}

    Call arguments:
        {inputs}
        mask: Boolean tensor `(batch, steps)`, for sequences and the global mean. Masked steps stay
            out of the mean.
        {return_gates}
        {training}

    Output shape:
        The input's shape; with `return_gates=True` the pair of the outputs and of gates: one for
        each value gathered, `(batch, channels)` for the global extent and
        `(batch, ceil(positions / extent)..., channels)` for others.

    Raises:
        ValueError: If the rank is not 3 to 5 (3 or 4 for weights with an extent), the number of
            channels is unknown, an argument is out of range, a number of positions is unknown that
            a global kernel needs, or a mask comes where none can be used.

    Example:

    >>> layer = keras_capsules.GatherExcite("theta_plus", extent=4)
    >>> outputs, gates = layer(keras.random.normal((2, 8, 8, 64)), return_gates=True)
    >>> outputs.shape, gates.shape
    ((2, 8, 8, 64), (2, 2, 2, 64))

    Reference:
        Hu, Shen, Albanie, Sun, Vedaldi, 2018, arXiv 1810.12348.
    """

    def __init__(
        self,
        variant: str = "theta_minus",
        extent: int = 0,
        reduction_ratio: float = 16,
        reduced_channels: int | None = None,
        divisor: int = 1,
        activation="relu",
        gate_activation="sigmoid",
        use_bias: bool = True,
        data_format: str | None = None,
        **kwargs,
    ):
        if variant not in VARIANTS:
            raise ValueError(
                f"`variant` must be one of {', '.join(VARIANTS)}. Received: variant={variant!r}"
            )
        if extent < 0 or extent == 1 or extent & (extent - 1):
            raise ValueError(
                "`extent` must be a power of two, or 0 for the whole map. "
                f"Received: extent={extent!r}"
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
        self.variant = variant
        self.extent = extent

    def build_attention(self, shape: tuple) -> None:
        if not self.extent and self.variant != "theta_minus" and None in shape[1:-1]:
            raise ValueError(
                f"{self.name} has a kernel of the map's size with extent=0 and "
                f'variant="{self.variant}", so the number of positions must be known. Fix it in '
                'the input\'s shape, or take an extent such as 4, or variant="theta_minus". '
                f"Received, channels last: input_shape={shape}"
            )
        self.gathers, self.normalizations = [], []
        if self.variant != "theta_minus":
            self._build_gathers(shape)
        elif self.extent:
            options = {"data_format": "channels_last", "dtype": self.dtype_policy}
            size = 2 * self.extent - 1
            self.pool = POOLINGS[len(shape)](size, self.extent, name="pool", **options)
        if self.variant == "theta_plus":
            self.build_excitation(shape)

    def attend(self, inputs: Any, mask: Any, training: bool | None) -> tuple[Any, Any]:
        if mask is not None and (self.extent or self.variant != "theta_minus"):
            raise ValueError(
                f"{self.name} takes a mask with the global mean only, extent=0 and "
                f'variant="theta_minus". Received: extent={self.extent}, variant="{self.variant}"'
            )
        if self.variant != "theta_minus":
            gathered = self._gather_by_weights(self.to_channels_last(inputs), training)
        elif self.extent:
            gathered = self._gather_by_means(self.to_channels_last(inputs))
        else:
            gathered = self.squeeze(inputs, mask)
        if self.variant == "theta_plus":
            gathered = self.excite(self.reduce(self.activation(gathered)))
        if not self.extent:
            return self.gate_channels(inputs, gathered)
        gates = spread = self.gate_activation(gathered)
        sizes = self.shape_with_channels_last((None, *sizes_of(inputs)))[1:-1]
        for axis, size in enumerate(sizes, start=1):
            gathered = -(-size // self.extent)
            nearest = _library(size).arange(size, dtype="int32") * gathered // size
            spread = ops.take(spread, nearest, axis=axis)
        return inputs * self.from_channels_last(spread), gates

    def attention_shapes(self, shape: tuple) -> tuple[tuple, ...]:
        if not self.extent:
            return super().attention_shapes(shape)
        gathered = [None if size is None else -(-size // self.extent) for size in shape[1:-1]]
        return ((shape[0], *gathered, shape[-1]),)

    def get_config(self) -> dict[str, Any]:
        return {**super().get_config(), "variant": self.variant, "extent": self.extent}

    def _build_gathers(self, shape):
        if not self.extent:
            self.kernel = self.add_weight(shape=shape[1:], initializer="he_normal", name="kernel")
            one = (shape[0], *[1] * (len(shape) - 2), shape[-1])
            self.normalizations.append(self.normalization(one, "normalize_1"))
            return
        if len(shape) not in DEPTHWISE:
            raise ValueError(
                f"{self.name} gathers by weights over an extent in sequences and images, inputs of "
                f'rank 3 and 4. Take extent=0 or variant="theta_minus". '
                f"Received, channels last: input_shape={shape}"
            )
        for number in range(1, self.extent.bit_length()):
            inside = (None if size is None else size + 2 for size in shape[1:-1])
            padded = (shape[0], *inside, shape[-1])
            gather = DEPTHWISE[len(shape)](
                3,
                strides=2,
                use_bias=False,
                data_format="channels_last",
                dtype=self.dtype_policy,
                name=f"gather_{number}",
            )
            gather.build(padded)
            shape = gather.compute_output_shape(padded)
            self.gathers.append(gather)
            self.normalizations.append(self.normalization(shape, f"normalize_{number}"))

    def _gather_by_weights(self, x, training):
        inside = range(1, len(x.shape) - 1)
        if not self.extent:
            products = at_least_float32(x) * at_least_float32(self.kernel)
            gathered = ops.sum(products, axis=tuple(inside), keepdims=True)
            return self.normalizations[0](ops.cast(gathered, x.dtype), training=training)
        for number, gather in enumerate(self.gathers):
            if number:
                x = self.activation(x)
            x = gather(ops.pad(x, [(0, 0), *[(1, 1)] * len(inside), (0, 0)]))
            x = self.normalizations[number](x, training=training)
        return x

    def _gather_by_means(self, x):
        """Means of what lies within a window around every `extent`-th position."""
        reach = self.extent - 1
        margin = [(0, 0), *[(reach, reach)] * (len(x.shape) - 2), (0, 0)]
        share = 1.0
        for axis, size in enumerate(sizes_of(x)[:-1], start=1):
            library = _library(size)
            at = library.arange(0, size, self.extent, dtype="int32")
            counts = library.minimum(size, at + reach + 1) - library.maximum(0, at - reach)
            shape = [1] * len(x.shape)
            shape[axis] = -1
            counts = ops.cast(library.reshape(counts, shape), "float32")
            share = share * counts / (2 * reach + 1)
        means = at_least_float32(self.pool(ops.pad(x, margin)))
        return ops.cast(means / ops.cast(share, means.dtype), x.dtype)


def _library(size):
    """Returns what computes a table for an axis: a constant, unless its size is a tensor."""
    return np if isinstance(size, int) else ops
