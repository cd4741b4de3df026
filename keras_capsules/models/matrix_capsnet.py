"""Builds matrix capsules with EM routing."""

import functools
import itertools
from collections.abc import Callable

import keras

from keras_capsules.initializers import VoteScaling
from keras_capsules.models._shared.convolutional_capsules import (
    activation_classifier,
    convolutional_capsules,
    normalized_capsules,
    normalized_stem,
    routing_for_each,
)
from keras_capsules.models._shared.halvings import halved
from keras_capsules.models.registry import register_model
from keras_capsules.routing import EMRouting


@register_model(
    top="class_capsules",
    loss=keras.losses.CategoricalCrossentropy,
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
    routing=None,
    halvings: int | None = None,
    name: str = "matrix_capsnet",
) -> keras.Model:
    """Builds the matrix capsule network. The defaults are the paper's A = B = C = D = 32.

    The network has a convolution, primary capsules with explicit activations, two layers of
    convolutional capsules, and class capsules. The class capsules share one kernel over all cells
    and distinguish the cells by coordinate addition. Batch normalization follows the first
    convolution and the primary capsules' poses and activations. Without it the votes grow within a
    few steps, and the network does not learn. It has 316,010 trainable parameters; the paper says
    310K. The paper's small network, with 68K according to the paper, is
    `filters=64, primary_capsules=8, conv_capsules=(16, 16)`, with 67,114.

    With the usual `epsilon=1e-4`, the parents of a new network take few children each. After small
    changes of the kernels they take other children, so that gradients of two batches have nothing
    in common. The default routing therefore has a floor of the variance above the scatter of the
    first votes, and a `final_lambda` that makes activations from the small differences that remain.
    Train the network with `CategoricalCrossentropy`, its `keras_capsules.models.default_loss`, on
    one-hot labels. Keras then divides the activations by their sum. The paper has `SpreadLoss`.
    `docs/benchmarks.md` has the accuracy with Adam at a learning rate of 3e-3 that decays to zero,
    and batches of 32, as in `python -m benchmarks.learns`.

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
            routing. `None`, the default, is `EMRouting(final_lambda=10, epsilon=1)`, with kernels
            that fit it.
        halvings: Integer. How often a convolution with stride 2 halves the image first. `None`, the
            default, halves until at most 40 pixels are left on each side.
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
    initializer: Callable | None = None
    of_classes: str | VoteScaling = "vote_scaling"
    if routing is None:
        routing = EMRouting(final_lambda=10, epsilon=1)
        # The first poses have the size one, and the others are means of votes, which are smaller.
        first = VoteScaling(length=0.17, target="vote")
        of_classes = VoteScaling(length=0.4, target="mean")
        in_order = itertools.chain([first], itertools.repeat(of_classes))
        initializer = functools.partial(_next_of, in_order)

    routing = routing_for_each(routing, True, name)
    image = keras.Input(input_shape, name="image")
    x = halved(image, halvings, 40)
    x = normalized_stem(x, filters, kernel_size, strides)
    x = normalized_capsules(x, primary_capsules, capsule_dim, kernel_size=1, by_type=True)
    x = convolutional_capsules(x, conv_capsules, capsule_dim, routing, initializer)
    return activation_classifier(image, x, num_classes, capsule_dim, routing, name, of_classes)


def _next_of(initializers, _children, _parents):
    """Returns the initializer of the next layer, whatever its numbers of types."""
    return next(initializers)
