"""Implements style-based recalibration (SRM): gates from each channel's mean and deviation."""

from typing import Any

import keras
from keras import ops

from keras_capsules.attention._shared_docs import documented
from keras_capsules.attention.base import AttentionLayer
from keras_capsules.ops import at_least_float32


@keras.saving.register_keras_serializable(package="keras_capsules")
@documented
class StyleRecalibration(AttentionLayer):
    """Weighs each channel by a gate computed from its own mean and standard deviation.

    `gates = sigmoid(normalize(a * mean(x, positions) + b * sqrt(variance(x, positions) + 1e-5)))`,
    `y = x * gates`, with one a and one b for each channel

    The variance is unbiased, a sum over n - 1, and zero where there is one position. Batch
    normalization has epsilon 1e-5 and momentum 0.9 (0.1 in PyTorch's terms). a and b are zero at
    first, so all gates are 0.5.

    Settings that others use: the defaults are those of the authors' released code.

    Args:
        {gate_activation}
        {data_format}

    Call arguments:
        {inputs}
        mask: Boolean tensor `(batch, steps)`, for sequences. Masked steps stay out of the mean and
            the variance.
        {return_gates}
        {training}

    Output shape:
        The input's shape; with `return_gates=True` the pair of the outputs and of gates
        `(batch, channels)`.

    Raises:
        ValueError: If the rank is not 3 to 5, or the number of channels is unknown.

    Example:

    >>> keras_capsules.StyleRecalibration()(keras.ops.ones((1, 1, 1, 2)))
    [[[[0.5, 0.5]]]]

    Reference:
        Lee, Kim, Nam, 2019, arXiv 1903.10829.
    """

    def __init__(self, gate_activation="sigmoid", data_format: str | None = None, **kwargs):
        super().__init__(data_format=data_format, **kwargs)
        self.gate_activation = keras.activations.get(gate_activation)

    def build_attention(self, shape: tuple) -> None:
        options = {"shape": (shape[-1],), "initializer": "zeros"}
        self.mean_weight = self.add_weight(name="mean_weight", **options)
        self.deviation_weight = self.add_weight(name="deviation_weight", **options)
        one = (shape[0], *[1] * (len(shape) - 2), shape[-1])
        self.normalize = self.normalization(one, "normalize")

    def attend(self, inputs: Any, mask: Any, training: bool | None) -> tuple[Any, Any]:
        mean, variance = self.variance(inputs, mask)
        style = at_least_float32(self.mean_weight) * mean
        style = style + at_least_float32(self.deviation_weight) * ops.sqrt(variance + 1e-5)
        logits = self.normalize(ops.cast(style, inputs.dtype), training=training)
        return self.gate_channels(inputs, logits)

    def get_config(self) -> dict[str, Any]:
        return {
            **super().get_config(),
            "gate_activation": keras.activations.serialize(self.gate_activation),
        }
