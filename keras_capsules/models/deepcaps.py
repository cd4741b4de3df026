"""Builds DeepCaps, a deep network of convolutional capsules with skip connections."""

import math

import keras
from keras import layers

from keras_capsules.layers import CapsuleLayer
from keras_capsules.losses import MarginLoss
from keras_capsules.models._shared.capsule_classifier import capsule_classifier, check_lengths
from keras_capsules.models._shared.halvings import halved
from keras_capsules.models._shared.normalization import normalization
from keras_capsules.models.registry import register_model
from keras_capsules.ops import squash
from keras_capsules.routing import DynamicRouting


@register_model(
    top="class_capsules",
    loss=MarginLoss,
    tiny={"filters": 8, "capsules": 2, "capsule_dims": (2, 4, 4), "decoder_units": (16,)},
)
def deepcaps(
    input_shape=(28, 28, 1),
    num_classes: int = 10,
    filters: int = 128,
    capsules: int = 32,
    capsule_dims=(4, 8, 8, 8),
    capsule_dim: int = 32,
    routing="dynamic",
    with_decoder: bool = False,
    decoder_units=(512, 1024),
    halvings: int | None = None,
    name: str = "deepcaps",
) -> keras.Model:
    """Builds DeepCaps. The defaults are the authors' sizes for 28 x 28.

    The network starts with a convolution. Each cell has three layers of convolutional capsules
    without routing, and a fourth that skips two of them. In the last cell this fourth layer routes:
    a 3D convolution with the same 3 x 3 kernels for each type of capsule computes votes for the
    types at every position, and a child divides itself among all of these. The capsules of the last
    two cells vote for the classes.

    The network has 8,441,920 trainable parameters, as in the authors' code, and 13,359,424 at 64 x
    64 x 3, the size to which the paper scales CIFAR-10. The authors' code squashes the routed
    capsules of one type over all positions together. Here each capsule is squashed, as in the
    paper. The decoder is the dense one of CapsNet and has no deconvolutions. Like the authors'
    decoder it sees the pose of the labelled class, but not the class. Train the model with
    `MarginLoss`, its `keras_capsules.models.default_loss`, on one-hot labels.
    `python -m benchmarks.learns` does so with Adam at a learning rate of 1e-3 and batches of 64.

    Args:
        input_shape: Tuple `(height, width, channels)`. Pixels in [0, 1].
        num_classes: Integer.
        filters: Integer. Channels of the first convolution.
        capsules: Integer. Types of capsules in each cell of the grid, in all layers.
        capsule_dims: Tuple of two or more integers. Size of the poses in each cell of the network.
            The last two must be equal. Each of these cells halves the image.
        capsule_dim: Integer. Size of the class capsules' poses.
        routing: As in `CapsuleLayer`, for the class capsules.
        with_decoder: Boolean. Whether to add a decoder for training. The model then takes
            `{"image": ..., "label": ...}` with one-hot labels and returns
            `{"scores": ..., "reconstruction": ...}`. Defaults to `False`.
        decoder_units: Tuple of integers. Widths of the decoder's hidden layers.
        halvings: Integer. How often a convolution with stride 2 halves the image first. `None`, the
            default, halves until at most 64 pixels are left on each side.
        name: String. Name of the model.

    Returns:
        A functional `keras.Model` from `image` to `scores`, `(batch, num_classes)` in [0, 1].

    Example:

    >>> model = keras_capsules.create_model("deepcaps", capsules=8)
    >>> model.get_layer("class_capsules").input.shape
    (None, 160, 8)

    Reference:
        Rajasegaran, Jayasundara, Jayasekara, Jayasekara, Seneviratne, Rodrigo, 2019,
        arXiv 1904.09546.
    """
    check_lengths(routing, name)
    image = keras.Input(input_shape, name="image")
    x = halved(image, halvings, 64)
    x = layers.Conv2D(filters, 3, padding="same", activation="relu", name="convolution")(x)
    x = normalization("normalization")(x)
    children = []
    for number, dim in enumerate(capsule_dims, start=1):
        cell = f"cell_{number}"
        x = _capsules(x, capsules, dim, 2, f"{cell}_1")
        if number < len(capsule_dims):
            skipped = _capsules(x, capsules, dim, 1, f"{cell}_skip")
        else:
            skipped = _routed(x, capsules, dim, f"{cell}_skip")
        x = _capsules(x, capsules, dim, 1, f"{cell}_2")
        x = _capsules(x, capsules, dim, 1, f"{cell}_3")
        x = layers.Add(name=f"{cell}_add")([x, skipped])
        children.append(layers.Reshape((-1, dim), name=f"{cell}_flat")(x))
    x = layers.Concatenate(axis=1, name="children")(children[-2:])
    poses = CapsuleLayer(
        num_classes, capsule_dim, routing=routing, use_bias=True, name="class_capsules"
    )(x)
    return capsule_classifier(
        image, poses, with_decoder, decoder_units, name, class_independent=True
    )


def _capsules(x, capsules, dim, strides, name):
    """Adds convolutional capsules without routing: a convolution over all children, and squash."""
    if len(x.shape) == 5:
        x = layers.Reshape((*x.shape[1:3], -1), name=f"{name}_channels")(x)
    x = layers.Conv2D(
        capsules * dim,
        3,
        strides=strides,
        padding="same",
        use_bias=False,
        kernel_initializer=_scaling(9 * capsules, 1, dim),
        name=f"{name}_convolution",
    )(x)
    x = layers.Reshape((*x.shape[1:3], capsules, dim), name=f"{name}_grid")(x)
    return layers.Activation(squash, name=name)(x)


def _routed(x, capsules, dim, name):
    """Adds the last skip, whose parents are the types at every position, each with a window."""
    height, width = x.shape[1:3]
    parents = height * width * capsules
    x = layers.Permute((3, 1, 2, 4), name=f"{name}_types_first")(x)
    votes = layers.Conv3D(
        capsules * dim,
        (1, 3, 3),
        padding="same",
        kernel_initializer=_scaling(9 * capsules, parents, dim),
        name=f"{name}_convolution",
    )(x)
    votes = layers.Reshape((capsules, parents, dim), name=f"{name}_votes")(votes)
    poses = DynamicRouting(name=f"{name}_routing")(votes).poses
    return layers.Reshape((height, width, capsules, dim), name=name)(poses)


def _scaling(children, parents, dim):
    """Works like `VoteScaling`, for children of length one half, a length that deep capsules keep.

    Squash turns short sums into their squares, which would vanish layer by layer with a usual
    initializer.
    """
    deviation = 2 * parents / math.sqrt(children * dim)
    return keras.initializers.TruncatedNormal(stddev=deviation)
