"""Builds the parts that networks of convolutional matrix capsules share."""

import keras
from keras import layers

from keras_capsules.layers import ConvCapsule2D
from keras_capsules.layers.voting import split_pair
from keras_capsules.models._shared.normalization import normalization
from keras_capsules.routing import Routing, get


def routing_for_each(routing, explicit, name):
    """Returns a value of `routing=` from which each of several layers makes a separate routing.

    Raises:
        ValueError: If the routing has explicit activations and `explicit` is `False`, or the
            reverse.
    """
    if get(routing).explicit_activations != explicit:
        family, example = ("with", "em") if explicit else ("without", "dynamic")
        raise ValueError(
            f"{name} needs a routing {family} explicit activations, such as {example!r}. "
            f"Received: routing={routing!r}"
        )
    if isinstance(routing, Routing):
        return keras.saving.serialize_keras_object(routing)
    return routing


def normalized_stem(image, filters, kernel_size, strides, kernel_initializer="glorot_uniform"):
    """Adds a convolution with batch normalization and relu."""
    x = layers.Conv2D(
        filters,
        kernel_size,
        strides=strides,
        use_bias=False,
        kernel_initializer=kernel_initializer,
        name="convolution",
    )(image)
    x = normalization("normalization")(x)
    return layers.ReLU(name="relu")(x)


def normalized_capsules(x, num_capsules, capsule_dim, kernel_size, by_type):
    """Adds poses and sigmoid activations, by a convolution with batch normalization for each.

    With `by_type` the poses are normalized for each capsule type, otherwise for each channel.
    """
    options = {"kernel_size": kernel_size, "padding": "same", "use_bias": False}
    poses = layers.Conv2D(num_capsules * capsule_dim, **options, name="poses_convolution")(x)
    grid = layers.Reshape((*poses.shape[1:3], num_capsules, capsule_dim), name="poses")
    if by_type:
        poses = normalization("poses_normalization", axis=3)(grid(poses))
    else:
        poses = grid(normalization("poses_normalization")(poses))
    x = layers.Conv2D(num_capsules, **options, name="activations_convolution")(x)
    x = normalization("activations_normalization")(x)
    return poses, layers.Activation("sigmoid", name="activations")(x)


def convolutional_capsules(x, types, capsule_dim, routing, initializer=None):
    """Adds a layer with 3 x 3 windows for each number in `types`. The first has stride 2.

    `initializer(children, parents)` makes the kernel initializer for these numbers of types.
    """
    for index, count in enumerate(types, start=1):
        children = split_pair(x)[0].shape[3]
        x = ConvCapsule2D(
            count,
            capsule_dim,
            kernel_size=3,
            strides=2 if index == 1 else 1,
            routing=routing,
            transform="matrix",
            kernel_initializer=initializer(children, count) if initializer else "vote_scaling",
            name=f"convolutional_capsules_{index}",
        )(x)
    return x


def activation_classifier(
    image, x, num_classes, capsule_dim, routing, name, kernel_initializer="vote_scaling"
) -> keras.Model:
    """Returns the model whose scores are the activations of class capsules.

    All cells share the class capsules' kernel, and coordinate addition tells them apart.
    """
    _, activations = ConvCapsule2D(
        num_classes,
        capsule_dim,
        kernel_size=x[0].shape[1:3],
        routing=routing,
        transform="matrix",
        coordinate_addition=True,
        share_weights=True,
        kernel_initializer=kernel_initializer,
        name="class_capsules",
    )(x)
    scores = layers.Reshape((num_classes,), name="scores")(activations)
    return keras.Model(image, scores, name=name)
