"""Builds a capsule network for signals, of fixed or open length."""

import keras

from keras_capsules.initializers import VoteScaling
from keras_capsules.layers import CapsuleLayer, CapsuleLength, ConvCapsule1D, PrimaryCapsule1D
from keras_capsules.losses import MarginLoss
from keras_capsules.models._shared.convolutional_capsules import routing_for_each
from keras_capsules.models._shared.signals import convolutions, signal_input
from keras_capsules.models.registry import register_model

# The children along a series are alike and share a kernel, so their votes add up and do not cancel.
_LENGTH = 0.15


@register_model(
    top="class_capsules",
    loss=MarginLoss,
    tiny={"filters": (4, 8), "primary_capsules": 2, "primary_dim": 4, "conv_capsules": 2},
    task="signals",
)
def signal_capsnet(
    input_shape=(100, 6),
    num_classes: int = 4,
    filters=(32, 48),
    kernel_size: int = 5,
    strides: int = 2,
    primary_capsules: int = 8,
    primary_dim: int = 8,
    conv_capsules: int = 8,
    conv_dim: int = 8,
    capsule_dim: int = 16,
    routing="dynamic",
    mask_value: float | None = None,
    name: str = "signal_capsnet",
) -> keras.Model:
    """Builds a capsule network for signals. The defaults have 37,208 parameters.

    Two convolutions, primary capsules, convolutional capsules and class capsules follow each
    other, and the lengths of the last are the scores. All but the last pad the series, so a series
    of one step or more has scores. The class capsules share their kernel among all children, so the
    parameters do not depend on the length. Train it with `MarginLoss`, its
    `keras_capsules.models.default_loss`, on one-hot labels or class numbers.

    Args:
        input_shape: Tuple `(length, channels)`. The length may be `None`. A batch normalization
            brings each channel to one scale.
        num_classes: Integer.
        filters: Tuple of integers. Channels of the convolutions.
        kernel_size: Integer. Window of the convolutions and of the primary capsules.
        strides: Integer. Strides of all convolutions but the first.
        primary_capsules: Integer. Types of primary capsules in each cell, with strides of 2.
        primary_dim: Integer. Size of the primary capsules' poses.
        conv_capsules: Integer. Types of convolutional capsules, with windows of 3 cells.
        conv_dim: Integer. Size of their poses.
        capsule_dim: Integer. Size of the class capsules' poses.
        routing: As in `CapsuleLayer`, without explicit activations and, for an open length,
            without weights for each child.
        mask_value: Float or `None`. Steps where all channels have this value are absent, such as
            those after the end of a shorter series. `None`, the default, masks nothing.
        name: String. Name of the model.

    Returns:
        A functional `keras.Model` from `signal` to `scores`, `(batch, num_classes)` in [0, 1].

    Raises:
        ValueError: If the routing has explicit activations, or the length is 0.

    Example:

    >>> options = {"input_shape": (None, 12), "num_classes": 9, "mask_value": 0.0}
    >>> model = keras_capsules.create_model("signal_capsnet", **options)
    >>> model.predict(np.ones((2, 17, 12)), verbose=0).shape
    (2, 9)

    Reference:
        This library, after Sabour, Frosst, Hinton, 2017, arXiv 1710.09829, on one axis.
    """
    routing = routing_for_each(routing, False, name)
    signal, x = signal_input(input_shape, mask_value)
    x = convolutions(x, filters, kernel_size, strides)
    x = PrimaryCapsule1D(
        primary_capsules,
        primary_dim,
        kernel_size,
        strides=2,
        padding="same",
        name="primary_capsules",
    )(x)
    x = ConvCapsule1D(
        conv_capsules, conv_dim, 3, padding="same", routing=routing, name="convolutional_capsules"
    )(x)
    poses = CapsuleLayer(
        num_classes,
        capsule_dim,
        routing=routing,
        share_weights=True,
        kernel_initializer=VoteScaling(length=_LENGTH),
        name="class_capsules",
    )(x)
    return keras.Model(signal, CapsuleLength(name="scores")(poses), name=name)
