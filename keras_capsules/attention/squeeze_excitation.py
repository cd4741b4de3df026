"""Squeeze-and-excitation: one gate for each channel."""

import keras

from keras_capsules.attention.base import ReducingAttention


@keras.saving.register_keras_serializable(package="keras_capsules")
class SqueezeExcitation(ReducingAttention):
    """Weighs each channel by a gate computed from the mean of all channels.

    `gates = sigmoid(W2 @ relu(W1 @ mean(x, positions) + b1) + b2)`, `y = x * gates`

    Settings that others use: the paper and its released models are the defaults (`use_bias=True`
    as released; `False` in the paper's ablations); timm rounds the reduced width,
    `divisor=8`; torchvision and EfficientNet give it, `reduced_channels=...`; MobileNetV3 gates by
    `gate_activation="hard_sigmoid"`.

    Args:
        reduction_ratio: Integer or float. Channels divided by it are the width of the hidden
            layer. Defaults to `16`.
        reduced_channels: Integer or `None`. That width itself, in place of the ratio.
        divisor: Integer. That quotient is rounded to a multiple of it, and is at least that.
            Defaults to `1`.
        activation: String or callable, of the hidden layer. Defaults to `"relu"`.
        gate_activation: String or callable, of the gates. Defaults to `"sigmoid"`.
        use_bias: Boolean. Defaults to `True`.
        data_format: `"channels_last"`, `"channels_first"` or `None`, which stands for
            `keras.config.image_data_format()`.

    Call arguments:
        inputs: Tensor of rank 3 to 5: `(batch, positions..., channels)`, or
            `(batch, channels, positions...)` with `"channels_first"`.
        mask: Boolean tensor `(batch, steps)`, for sequences. Masked steps stay out of the mean.
        return_gates: Boolean. Whether to return the gates as well. Defaults to `False`.

    Output shape:
        That of the input; with `return_gates=True` the pair of that and of gates
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

    def build_attention(self, shape):
        self.build_excitation(shape)

    def attend(self, inputs, mask, training):
        squeezed = self.squeeze(inputs, mask)
        return self.gate_channels(inputs, self.excite(self.reduce(squeezed)))
