"""Builds matrix capsules with EM routing."""

import keras
from keras import layers

from keras_capsules.layers import PrimaryCapsule2D
from keras_capsules.losses import SpreadLoss
from keras_capsules.models._shared.convolutional_capsules import (
    activation_classifier,
    convolutional_capsules,
    routing_for_each,
)
from keras_capsules.models.registry import register_model


@register_model(
    top="class_capsules",
    loss=SpreadLoss,
    tiny={
        "filters": 8,
        "kernel_size": 3,
        "strides": 1,
        "primary_capsules": 2,
        "conv_capsules": (2,),
        "capsule_dim": 4,
    },
)
def matrix_capsnet(
    input_shape=(32, 32, 1),
    num_classes: int = 5,
    filters: int = 32,
    kernel_size=5,
    strides=2,
    primary_capsules: int = 32,
    conv_capsules=(32, 32),
    capsule_dim: int = 16,
    routing="em",
    name: str = "matrix_capsnet",
) -> keras.Model:
    """Builds the matrix capsule network. The defaults are the paper's A = B = C = D = 32.

    The network has a convolution, primary capsules with explicit activations, two layers of
    convolutional capsules, and class capsules. The class capsules share one kernel over all cells
    and distinguish the cells by coordinate addition. The network has 316,394 parameters; the paper
    says 310K. The paper's small network, with 68K according to the paper, is
    `filters=64, primary_capsules=8, conv_capsules=(16, 16)`, with 67,154 parameters. Train it with
    `SpreadLoss`, its `keras_capsules.models.default_loss`, on one-hot labels, and let
    `SpreadMarginSchedule` widen the margin. `python -m benchmarks.learns` trains it for a few
    epochs at the first margin, with Adam at a learning rate of 1e-3 and batches of 64.

    Args:
        input_shape: Tuple `(height, width, channels)`. The paper crops 32 x 32 of small NORB.
        num_classes: Integer.
        filters: Integer. Channels of the first convolution, the paper's A.
        kernel_size: Integer or pair. Window of the first convolution.
        strides: Integer or pair. Strides of the first convolution.
        primary_capsules: Integer. Types of primary capsules in each cell, the paper's B.
        conv_capsules: Tuple of integers. Types of convolutional capsules in each layer, C and D.
        capsule_dim: Integer, a square. Size of all poses, which are matrices.
        routing: As in `CapsuleLayer`, with explicit activations. Each layer makes a separate
            routing.
        name: String. Name of the model.

    Returns:
        A functional `keras.Model` from `image` to `scores`, the activations of the class capsules
        `(batch, num_classes)` in [0, 1].

    Raises:
        ValueError: If the image is too small for the convolutions, or the routing has no explicit
            activations.

    Example:

    >>> model = keras_capsules.create_model("matrix_capsnet")
    >>> model.get_layer("convolutional_capsules_2").output[0].shape
    (None, 4, 4, 32, 16)

    Reference:
        Hinton, Sabour, Frosst, 2018, "Matrix Capsules with EM Routing", ICLR.
    """
    routing = routing_for_each(routing, True, name)
    image = keras.Input(input_shape, name="image")
    x = layers.Conv2D(filters, kernel_size, strides=strides, activation="relu", name="convolution")(
        image
    )
    x = PrimaryCapsule2D(
        primary_capsules,
        capsule_dim,
        kernel_size=1,
        activation=None,
        explicit_activations=True,
        name="primary_capsules",
    )(x)
    x = convolutional_capsules(x, conv_capsules, capsule_dim, routing)
    return activation_classifier(image, x, num_classes, capsule_dim, routing, name)
