"""Implements squeeze-and-excitation: one gate for each channel."""

from typing import Any

import keras

from keras_capsules.attention._shared_docs import documented
from keras_capsules.attention.base import ReducingAttention


@keras.saving.register_keras_serializable(package="keras_capsules")
@documented
class SqueezeExcitation(ReducingAttention):
    """Weighs each channel by a gate computed from the mean of all channels.

    `gates = sigmoid(W2 @ relu(W1 @ mean(x, positions) + b1) + b2)`, `y = x * gates`

    Settings that others use: the paper and its released models are the defaults (`use_bias=True`
    as released; `False` in the paper's ablations); timm rounds the reduced width,
    `divisor=8`; torchvision and EfficientNet pass the width, `reduced_channels=...`; MobileNetV3
    gates by `gate_activation="hard_sigmoid"`.

    Args:
        {reducing_arguments}
        {activation}
        {gate_activation}
        {use_bias}
        {data_format}

    Call arguments:
        {inputs}
        {mask}
        {return_gates}

    Output shape:
        The input's shape; with `return_gates=True` the pair of the outputs and of gates
        `(batch, channels)`, in [0, 1] for sigmoids.

    Raises:
        ValueError: If the rank is not 3 to 5, the number of channels is unknown, or an argument
            is out of range.

    Example:

    >>> keras_capsules.SqueezeExcitation()(keras.random.normal((2, 8, 8, 64))).shape
    (2, 8, 8, 64)

    Reference:
        Hu, Shen, Albanie, Sun, Wu, 2018, arXiv 1709.01507.
    """

    def build_attention(self, shape: tuple) -> None:
        self.build_excitation(shape)

    def attend(self, inputs: Any, mask: Any, training: bool | None) -> tuple[Any, Any]:
        squeezed = self.squeeze(inputs, mask)
        return self.gate_channels(inputs, self.excite(self.reduce(squeezed)))
