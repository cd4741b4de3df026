"""Builds matrix capsules with variational-Bayes routing."""

import functools
import math

import keras

from keras_capsules.models._shared.convolutional_capsules import (
    activation_classifier,
    convolutional_capsules,
    normalized_capsules,
    normalized_stem,
    routing_for_each,
)
from keras_capsules.models._shared.halvings import halved
from keras_capsules.models.registry import register_model


@register_model(
    top="class_capsules",
    loss=functools.partial(keras.losses.CategoricalCrossentropy, from_logits=True),
    tiny={
        "filters": 8,
        "kernel_size": 3,
        "strides": 1,
        "primary_capsules": 2,
        "conv_capsules": (2,),
        "capsule_dim": 4,
    },
)
def variational_capsnet(
    input_shape=(32, 32, 2),
    num_classes: int = 5,
    filters: int = 64,
    kernel_size=5,
    strides=2,
    primary_capsules: int = 8,
    conv_capsules=(16, 16),
    capsule_dim: int = 16,
    routing="variational_bayes",
    halvings: int | None = None,
    name: str = "variational_capsnet",
) -> keras.Model:
    """Builds the capsule network with variational-Bayes routing.

    The network is `matrix_capsnet` with another routing and other sizes. The defaults are those of
    the released code for small NORB, with the same 68,714 trainable parameters and the same initial
    kernels. Votes must start small, since the routing measures distances in the unit of its prior.
    The authors train it with the activations as logits,
    `CategoricalCrossentropy(from_logits=True)`, which is its `keras_capsules.models.default_loss`.
    `python -m benchmarks.learns` does so with Adam at a learning rate of 2e-3 that decays to zero,
    and batches of 32.

    Args:
        input_shape: Tuple `(height, width, channels)`. The authors crop 32 x 32 from both cameras
            of small NORB.
        num_classes, filters, kernel_size, strides, primary_capsules, conv_capsules, capsule_dim,
            routing, halvings, name: As in `matrix_capsnet`.

    Returns:
        A functional `keras.Model` from `image` to `scores`, the activations of the class capsules
        `(batch, num_classes)` in [0, 1].

    Raises:
        ValueError: As `matrix_capsnet`.

    Example:

    >>> model = keras_capsules.create_model("variational_capsnet", input_shape=(28, 28, 1))
    >>> model.get_layer("class_capsules").input[0].shape
    (None, 3, 3, 16, 16)

    Reference:
        Ribeiro, Leontidis, Kollias, 2020, arXiv 1905.11455.
    """
    routing = routing_for_each(routing, True, name)
    image = keras.Input(input_shape, name="image")
    x = halved(image, halvings, 40)
    x = normalized_stem(x, filters, kernel_size, strides, kernel_initializer="he_uniform")
    x = normalized_capsules(x, primary_capsules, capsule_dim, kernel_size=1, by_type=True)
    initializer = functools.partial(_authors_initializer, capsule_dim)
    x = convolutional_capsules(x, conv_capsules, capsule_dim, routing, initializer)
    *_, height, width, types, _ = x[0].shape
    of_classes = initializer(types, num_classes, positions=height * width)
    return activation_classifier(image, x, num_classes, capsule_dim, routing, name, of_classes)


def _authors_initializer(capsule_dim, children, parents, positions=1):
    """Returns Xavier's uniform distribution as the authors' code counts fans.

    The variance is `2 / ((children + parents) * window * capsule_dim)`, with the numbers of types
    and of positions in a window. Keras' fans are the sides of the matrices times all other axes,
    among them `positions` where these share the kernel.
    """
    side = math.isqrt(capsule_dim)
    scale = 2 * children * parents * positions / ((children + parents) * side)
    return keras.initializers.VarianceScaling(scale, mode="fan_avg", distribution="uniform")
