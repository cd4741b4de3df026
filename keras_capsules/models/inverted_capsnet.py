"""Builds capsules with inverted dot-product attention routing on a residual network."""

import keras
from keras import layers

from keras_capsules.layers import CapsuleLayer, PrimaryCapsule2D
from keras_capsules.models._shared.convolutional_capsules import (
    convolutional_capsules,
    routing_for_each,
)
from keras_capsules.models._shared.halvings import halved
from keras_capsules.models.registry import register_model
from keras_capsules.models.se_resnet import basic_stages


@register_model(
    top="class_capsules",
    loss=keras.losses.CategoricalCrossentropy,
    tiny={
        "filters": (4, 8),
        "blocks": (1, 1),
        "primary_capsules": 2,
        "conv_capsules": (2,),
        "capsule_dim": 4,
    },
)
def inverted_capsnet(
    input_shape=(32, 32, 3),
    num_classes: int = 10,
    filters=(64, 128),
    blocks=(3, 4),
    primary_capsules: int = 32,
    conv_capsules=(32, 32),
    capsule_dim: int = 16,
    routing="inverted_dot_product",
    halvings: int | None = None,
    name: str = "inverted_capsnet",
) -> keras.Model:
    """Builds the network of inverted dot-product attention routing with a residual stem.

    The network has two stages of residual blocks, primary capsules with layer normalization, two
    layers of convolutional matrix capsules, and class capsules. One linear layer, which all class
    capsules share, computes their logits. The defaults are the authors' for CIFAR-10. They give
    1,829,329 trainable parameters, 512 more than the authors' code, which has no bias in the
    primary capsules. The routing is sequential: each layer finishes its iterations before the next
    begins. The paper prefers concurrent routing. Train the model with `CategoricalCrossentropy`,
    its `keras_capsules.models.default_loss`, on one-hot labels. `python -m benchmarks.learns` does
    so with Adam at a learning rate of 1e-3 and batches of 64.

    Args:
        input_shape: Tuple `(height, width, channels)`. The authors standardize each channel.
        num_classes: Integer.
        filters: Tuple of integers. Channels of the stages. Each stage after the first halves the
            image.
        blocks: Tuple of integers. Residual blocks of the stages.
        primary_capsules: Integer. Types of primary capsules in each cell.
        conv_capsules: Tuple of integers. Types of convolutional capsules, for each layer.
        capsule_dim: Integer, a square. Size of all poses, which are matrices.
        routing: As in `CapsuleLayer`, without explicit activations. Each layer makes a separate
            routing.
        halvings: Integer. How often a convolution with stride 2 halves the image first. `None`, the
            default, halves until at most 40 pixels are left on each side.
        name: String. Name of the model.

    Returns:
        A functional `keras.Model` from `image` to `scores`, probabilities
        `(batch, num_classes)`.

    Raises:
        ValueError: If the image is too small for the convolutions, or the routing has explicit
            activations.

    Example:

    >>> model = keras_capsules.create_model("inverted_capsnet", blocks=(1, 1))
    >>> model.get_layer("class_capsules").input.shape
    (None, 5, 5, 32, 16)

    Reference:
        Tsai, Srivastava, Goh, Salakhutdinov, 2020, arXiv 2002.04764.
    """
    routing = routing_for_each(routing, False, name)
    image = keras.Input(input_shape, name="image")
    x = basic_stages(halved(image, halvings, 40), filters, blocks)
    x = PrimaryCapsule2D(
        primary_capsules, capsule_dim, kernel_size=1, activation=None, name="primary_capsules"
    )(x)
    x = layers.LayerNormalization(epsilon=1e-5, name="primary_normalization")(x)
    x = convolutional_capsules(x, conv_capsules, capsule_dim, routing, _kernel_scaling)
    x = CapsuleLayer(
        num_classes,
        capsule_dim,
        routing=routing,
        transform="matrix",
        kernel_initializer=_kernel_scaling(None, num_classes),
        name="class_capsules",
    )(x)
    x = layers.Dense(1, name="logit")(x)
    x = layers.Reshape((num_classes,), name="logits")(x)
    return keras.Model(image, layers.Softmax(name="scores")(x), name=name)


def _kernel_scaling(children, parents):
    """Uses the authors' standard deviation, `sqrt(J / (I * p))` for I children and J parents."""
    return keras.initializers.VarianceScaling(
        parents**2, mode="fan_in", distribution="untruncated_normal"
    )
