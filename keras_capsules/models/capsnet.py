"""Builds CapsNet, the network of the paper that introduced dynamic routing."""

import keras
from keras import layers

from keras_capsules.layers import CapsuleLayer, PrimaryCapsule2D
from keras_capsules.losses import MarginLoss
from keras_capsules.models._shared.capsule_classifier import capsule_classifier, check_lengths
from keras_capsules.models._shared.halvings import halved
from keras_capsules.models.registry import register_model


@register_model(
    top="class_capsules",
    loss=MarginLoss,
    tiny={"filters": 8, "kernel_size": 3, "primary_capsules": 2, "primary_kernel_size": 3},
)
def capsnet(
    input_shape=(28, 28, 1),
    num_classes: int = 10,
    filters: int = 256,
    kernel_size=9,
    primary_capsules: int = 32,
    primary_dim: int = 8,
    primary_kernel_size=9,
    primary_strides=2,
    capsule_dim: int = 16,
    routing="dynamic",
    with_decoder: bool = False,
    decoder_units=(512, 1024),
    halvings: int | None = None,
    name: str = "capsnet",
) -> keras.Model:
    """Builds CapsNet. The defaults are the paper's sizes, with 6,804,224 parameters.

    The network has a convolution, primary capsules and class capsules, whose lengths are the
    scores. Train it with `MarginLoss`, its `keras_capsules.models.default_loss`, on one-hot labels.
    `python -m benchmarks.learns` does so with Adam at a learning rate of 1e-3 and batches of 64.

    Args:
        input_shape: Tuple `(height, width, channels)`. Pixels in [0, 1].
        num_classes: Integer.
        filters: Integer. Channels of the first convolution.
        kernel_size: Integer or pair. Window of the first convolution.
        primary_capsules: Integer. Types of primary capsules in each cell.
        primary_dim: Integer. Size of the primary capsules' poses.
        primary_kernel_size: Integer or pair. Window of the primary capsules.
        primary_strides: Integer or pair. Strides of the primary capsules.
        capsule_dim: Integer. Size of the class capsules' poses.
        routing: As in `CapsuleLayer`.
        with_decoder: Boolean. Whether to add the paper's decoder for training, with 8,215,568
            parameters in all. The model then takes `{"image": ..., "label": ...}` with one-hot
            labels and returns `{"scores": ..., "reconstruction": ...}`. Defaults to `False`.
        decoder_units: Tuple of integers. Widths of the decoder's hidden layers.
        halvings: Integer. How often a convolution with stride 2 halves the image first. `None`, the
            default, halves until at most 40 pixels are left on each side.
        name: String. Name of the model.

    Returns:
        A functional `keras.Model` from `image` to `scores`, `(batch, num_classes)` in [0, 1].

    Example:

    >>> model = keras_capsules.create_model("capsnet", with_decoder=True)
    >>> model.compile(
    ...     loss={"scores": keras_capsules.MarginLoss(), "reconstruction": "mse"},
    ...     loss_weights={"scores": 1.0, "reconstruction": 0.392},
    ... )
    >>> classifier = keras.Model(model.input["image"], model.output["scores"])

    Reference:
        Sabour, Frosst, Hinton, 2017, arXiv 1710.09829.
    """
    check_lengths(routing, name)
    image = keras.Input(input_shape, name="image")
    x = layers.Conv2D(filters, kernel_size, activation="relu", name="convolution")(
        halved(image, halvings, 40)
    )
    x = PrimaryCapsule2D(
        primary_capsules,
        primary_dim,
        primary_kernel_size,
        strides=primary_strides,
        name="primary_capsules",
    )(x)
    poses = CapsuleLayer(num_classes, capsule_dim, routing=routing, name="class_capsules")(x)
    return capsule_classifier(image, poses, with_decoder, decoder_units, name)
