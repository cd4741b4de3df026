"""Builds convolutional networks for signals, without capsules."""

import keras
from keras import layers

from keras_capsules.models._shared.signals import convolutions, signal_input
from keras_capsules.models.registry import register_model

_TINY = {"filters": (4, 8)}


@register_model(top="mean", loss=keras.losses.CategoricalCrossentropy, tiny=_TINY, task="signals")
def signal_cnn(
    input_shape=(100, 6),
    num_classes: int = 4,
    filters=(32, 48, 56, 51),
    kernel_size: int = 5,
    strides: int = 2,
    attention=None,
    mask_value: float | None = None,
    name: str = "signal_cnn",
) -> keras.Model:
    """Builds the plain convolutional network that `signal_capsnet` is compared with.

    The defaults have 37,340 parameters, as many as `signal_capsnet`. Convolutions, the mean over
    the series and a dense layer follow each other. Train it with `CategoricalCrossentropy`, its
    `keras_capsules.models.default_loss`, on one-hot labels.

    Args:
        input_shape: Tuple `(length, channels)`. The length may be `None`. A batch normalization
            brings each channel to one scale.
        num_classes: Integer.
        filters: Tuple of integers. Channels of the convolutions.
        kernel_size: Integer. Window of the convolutions.
        strides: Integer. Strides of all convolutions but the first.
        attention: As in `se_resnet20`, or `None`, the default. Gates each convolution.
        mask_value: Float or `None`. As in `signal_capsnet`.
        name: String. Name of the model.

    Returns:
        A functional `keras.Model` from `signal` to `scores`, probabilities `(batch, num_classes)`.

    Raises:
        ValueError: If the length is 0.

    Example:

    >>> model = keras_capsules.create_model("signal_cnn", input_shape=(None, 3), num_classes=5)
    >>> model.output_shape
    (None, 5)
    """
    signal, x = signal_input(input_shape, mask_value)
    x = convolutions(x, filters, kernel_size, strides, attention)
    x = layers.GlobalAveragePooling1D(name="mean")(x)
    scores = layers.Dense(num_classes, activation="softmax", name="scores")(x)
    return keras.Model(signal, scores, name=name)


@register_model(top="mean", loss=keras.losses.CategoricalCrossentropy, tiny=_TINY, task="signals")
def se_signal_net(
    input_shape=(100, 6),
    num_classes: int = 4,
    filters=(32, 48, 56, 47),
    attention="se",
    name: str = "se_signal_net",
    **kwargs,
) -> keras.Model:
    """Builds `signal_cnn` with squeeze-and-excitation after each convolution.

    The defaults have 37,321 parameters, as many as `signal_capsnet`.

    Args:
        input_shape, num_classes, filters, attention, name: As in `signal_cnn`.
        **kwargs: Further arguments of `signal_cnn`: `kernel_size`, `strides` and `mask_value`.

    Returns:
        A functional `keras.Model` from `signal` to `scores`, probabilities `(batch, num_classes)`.

    Raises:
        ValueError: If the length is 0, or there is no such attention.

    Example:

    >>> keras_capsules.create_model("se_signal_net", size="tiny").get_layer("block_1_se").name
    'block_1_se'

    Reference:
        Hu, Shen, Sun, 2018, arXiv 1709.01507, on one axis.
    """
    return signal_cnn(input_shape, num_classes, filters, attention=attention, name=name, **kwargs)
