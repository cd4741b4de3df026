"""Builds SE-CapsNet, a small capsule network with squeeze-and-excitation gates."""

import keras

from keras_capsules.attention import CapsuleSqueezeExcitation, SqueezeExcitation
from keras_capsules.losses import MarginLoss
from keras_capsules.models._shared.capsule_classifier import capsule_classifier, check_lengths
from keras_capsules.models._shared.halvings import halved
from keras_capsules.models.efficient_capsnet import (
    class_capsules,
    convolution_blocks,
    depthwise_capsules,
)
from keras_capsules.models.registry import register_model


@register_model(
    top="class_capsules",
    loss=MarginLoss,
    tiny={"filters": (8, 8), "kernel_sizes": (3, 3), "strides": (1, 2), "primary_capsules": 2},
)
def se_capsnet(
    input_shape=(28, 28, 1),
    num_classes: int = 10,
    filters=(32, 64, 64, 128),
    kernel_sizes=(5, 3, 3, 3),
    strides=(1, 2, 1, 2),
    reduction_ratio: float = 8,
    primary_capsules: int = 16,
    capsule_dim: int = 16,
    routing="self_attention",
    with_decoder: bool = False,
    decoder_units=(512, 1024),
    halvings: int | None = None,
    name: str = "se_capsnet",
) -> keras.Model:
    """Builds SE-CapsNet, a model of this library. It has 160,376 trainable parameters by default.

    It is Efficient-CapsNet with a gate for each channel after each convolution block and a gate for
    each primary capsule. The second convolution has strides too. At 28 x 28 the network therefore
    takes 6.9 million multiplications, while Efficient-CapsNet takes 30 million. The smaller
    depthwise window saves the parameters that the gates need. `routing="squeeze_excitation"`
    replaces the routing by gates as well. Train it with `MarginLoss`, its
    `keras_capsules.models.default_loss`, on one-hot labels. `python -m benchmarks.learns` does so
    with Adam at a learning rate of 1e-3 and batches of 64.

    Args:
        input_shape: Tuple `(height, width, channels)`. Pixels in [0, 1].
        num_classes: Integer.
        filters: Tuple of integers. Channels of the convolutions.
        kernel_sizes: Tuple of integers. Windows of the convolutions.
        strides: Tuple of integers. Strides of the convolutions.
        reduction_ratio: Integer or float. As in `SqueezeExcitation`, for the gates of channels.
        primary_capsules: Integer. Number of primary capsules. They share the channels of the last
            convolution.
        capsule_dim: Integer. Size of the class capsules' poses.
        routing: As in `CapsuleLayer`.
        with_decoder: Boolean. Whether to add a decoder for training, as `efficient_capsnet` does.
            Defaults to `False`.
        decoder_units: Tuple of integers. Widths of the decoder's hidden layers.
        halvings: Integer. How often a convolution with stride 2 halves the image first. `None`, the
            default, halves until at most 40 pixels are left on each side.
        name: String. Name of the model.

    Returns:
        A functional `keras.Model` from `image` to `scores`, `(batch, num_classes)` in [0, 1].

    Example:

    >>> model = keras_capsules.create_model("se_capsnet")
    >>> model.get_layer("block_4_se").output.shape
    (None, 4, 4, 128)

    References:
        This library; after Mazzia, Salvetti, Chiaberge, 2021, arXiv 2101.12491 (the form), and
        Hu, Shen, Albanie, Sun, Wu, 2018, arXiv 1709.01507 (the gates).
    """
    check_lengths(routing, name)
    image = keras.Input(input_shape, name="image")
    gate = SqueezeExcitation(reduction_ratio)
    x = halved(image, halvings, 40)
    x = convolution_blocks(x, filters, kernel_sizes, strides, gate)
    x = depthwise_capsules(x, primary_capsules)
    x = CapsuleSqueezeExcitation(name="capsule_gates")(x)
    poses = class_capsules(x, num_classes, capsule_dim, routing)
    return capsule_classifier(image, poses, with_decoder, decoder_units, name)
