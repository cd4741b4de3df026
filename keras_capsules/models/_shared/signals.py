"""Builds the beginning that the networks for signals share."""

from typing import Any

import keras
from keras import layers

from keras_capsules import attention as attentions
from keras_capsules.models._shared.masked_convolution import MaskedConv1D
from keras_capsules.models._shared.normalization import normalization


def signal_input(input_shape, mask_value: float | None) -> tuple[keras.KerasTensor, Any]:
    """Returns the `keras.Input`, and the signal with a mask and, in each channel, of one scale.

    Raises:
        ValueError: If the series have no steps.
    """
    if input_shape[0] == 0:
        raise ValueError(f"A series needs one step or more. Received: input_shape={input_shape}")
    signal = keras.Input(input_shape, name="signal")
    x = signal
    if mask_value is not None:
        x = layers.Masking(mask_value, name="masking")(x)
    return signal, normalization("input_normalization")(x)


def convolutions(x: Any, filters, kernel_size: int, strides: int, attention: Any = None) -> Any:
    """Adds convolutions with batch normalization and relu, the first of them with stride 1.

    Args:
        x: The signal.
        filters: Tuple of integers, one for each convolution.
        kernel_size: Integer.
        strides: Integer. Strides of all but the first convolution.
        attention: As in `se_resnet20`, or `None`. Gates the channels of each convolution.
    """
    for number, width in enumerate(filters, start=1):
        x = MaskedConv1D(
            width,
            kernel_size,
            strides=1 if number == 1 else strides,
            padding="same",
            use_bias=False,
            kernel_initializer="he_normal",
            name=f"convolution_{number}",
        )(x)
        x = normalization(f"normalization_{number}")(x)
        x = layers.ReLU(name=f"relu_{number}")(x)
        if attention is not None:
            x = attentions.clone(attention, f"block_{number}")(x)
    return x
