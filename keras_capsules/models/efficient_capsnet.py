"""Builds Efficient-CapsNet, a small capsule network that routes by self-attention."""

import keras
from keras import layers

from keras_capsules.attention import clone
from keras_capsules.layers import CapsuleLayer, PrimaryCapsule2D
from keras_capsules.losses import MarginLoss
from keras_capsules.models._shared.capsule_classifier import capsule_classifier, check_lengths
from keras_capsules.models._shared.halvings import halved
from keras_capsules.models._shared.normalization import normalization
from keras_capsules.models.registry import register_model


@register_model(
    top="class_capsules",
    loss=MarginLoss,
    tiny={"filters": (8, 8), "kernel_sizes": (3, 3), "strides": (1, 2), "primary_capsules": 2},
)
def efficient_capsnet(
    input_shape=(28, 28, 1),
    num_classes: int = 10,
    filters=(32, 64, 64, 128),
    kernel_sizes=(5, 3, 3, 3),
    strides=(1, 1, 1, 2),
    primary_capsules: int = 16,
    capsule_dim: int = 16,
    routing="self_attention",
    with_decoder: bool = False,
    decoder_units=(512, 1024),
    halvings: int | None = None,
    name: str = "efficient_capsnet",
) -> keras.Model:
    """Builds Efficient-CapsNet. The defaults are the authors', with 161,824 trainable parameters.

    The network starts with convolutions, each with relu and batch normalization. The channels of a
    depthwise convolution as large as the map are grouped into primary capsules. The lengths of the
    class capsules are the scores. Train it with `MarginLoss`, its
    `keras_capsules.models.default_loss`, on one-hot labels. `python -m benchmarks.learns` does so
    with Adam at a learning rate of 1e-3 and batches of 64.

    Args:
        input_shape: Tuple `(height, width, channels)`. Pixels in [0, 1].
        num_classes: Integer.
        filters: Tuple of integers. Channels of the convolutions.
        kernel_sizes: Tuple of integers. Windows of the convolutions.
        strides: Tuple of integers. Strides of the convolutions.
        primary_capsules: Integer. Number of primary capsules. They share the channels of the last
            convolution.
        capsule_dim: Integer. Size of the class capsules' poses.
        routing: As in `CapsuleLayer`.
        with_decoder: Boolean. Whether to add the authors' decoder for training. The model then
            takes `{"image": ..., "label": ...}` with one-hot labels and returns
            `{"scores": ..., "reconstruction": ...}`. Defaults to `False`.
        decoder_units: Tuple of integers. Widths of the decoder's hidden layers.
        halvings: Integer. How often a convolution with stride 2 halves the image first. `None`, the
            default, halves until at most 40 pixels are left on each side.
        name: String. Name of the model.

    Returns:
        A functional `keras.Model` from `image` to `scores`, `(batch, num_classes)` in [0, 1].

    Example:

    >>> keras_capsules.create_model("efficient_capsnet").output_shape
    (None, 10)

    Reference:
        Mazzia, Salvetti, Chiaberge, 2021, arXiv 2101.12491.
    """
    check_lengths(routing, name)
    image = keras.Input(input_shape, name="image")
    x = convolution_blocks(halved(image, halvings, 40), filters, kernel_sizes, strides)
    x = depthwise_capsules(x, primary_capsules)
    poses = class_capsules(x, num_classes, capsule_dim, routing)
    return capsule_classifier(image, poses, with_decoder, decoder_units, name)


def convolution_blocks(x, filters, kernel_sizes, strides, attention=None):
    """Adds convolutions with relu, batch normalization and, if given, attention after each."""
    sizes = zip(filters, kernel_sizes, strides, strict=True)
    for index, (width, kernel_size, stride) in enumerate(sizes, start=1):
        x = layers.Conv2D(
            width,
            kernel_size,
            strides=stride,
            activation="relu",
            kernel_initializer="he_normal",
            name=f"convolution_{index}",
        )(x)
        x = normalization(f"normalization_{index}")(x)
        if attention is not None:
            x = clone(attention, f"block_{index}")(x)
    return x


def depthwise_capsules(x, num_capsules):
    """Adds primary capsules by a depthwise convolution as large as the map."""
    return PrimaryCapsule2D(
        num_capsules,
        x.shape[-1] // num_capsules,
        kernel_size=x.shape[1:3],
        depthwise=True,
        activation="exponential_squash",
        name="primary_capsules",
    )(x)


def class_capsules(x, num_classes, capsule_dim, routing):
    return CapsuleLayer(
        num_classes,
        capsule_dim,
        routing=routing,
        kernel_initializer="he_normal",
        name="class_capsules",
    )(x)
