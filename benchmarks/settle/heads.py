"""The trunk, and heads with the same number of parameters: thirteen, and variants of two."""

import functools
import re

import keras
import numpy as np
from keras import layers

from keras_capsules import CapsuleLayer, CapsuleLength, MarginLoss, PrimaryCapsule2D
from keras_capsules.routing import ROUTINGS, Routing, get

PLAIN = ("average_pooling", "dense")
HEADS = (*sorted(ROUTINGS), "excitation", *PLAIN)
LOSSES = ("margin", "cross_entropy")
# Other numbers of iterations than three, and of capsule layers than one.
VARIANTS = tuple(
    f"{routing}_{number}_{what}"
    for routing in ("dynamic", "em")
    for what, numbers in (("iterations", (1, 2, 4, 5)), ("layers", (2, 3, 4)))
    for number in numbers
)
# Where the default of a routing does not fit three dozen children: see docs/which-one-rule.md.
SETTINGS = {"em": {"final_lambda": 1.0}}
CLASSES = 10
TYPES, DIM = 4, 8  # Primary capsules at each position, and the size of all poses.
BETWEEN = 6  # Capsules of each layer below the class capsules.
HIDDEN = 64  # Units of the excitation.
WIDTH = 16  # Channels that a head starts with, in the head that needs the most parameters.
SHARPNESS = 16.0  # Of the softmax of lengths, which end at one.
TOLERANCE = 0.03


def network(head: str, loss: str, shape: tuple, seed: int) -> keras.Model:
    """Returns a network whose output is `scores`, not compiled.

    Args:
        head: One of `HEADS` or `VARIANTS`.
        loss: One of `LOSSES`.
        shape: Height, width and channels of the images.
        seed: Integer. Networks with the same seed have the same trunk.
    """
    width = width_of(head, loss, shape)
    keras.utils.set_random_seed(seed)
    return built(head, loss, shape, width)


def loss_of(name: str):
    return MarginLoss() if name == "margin" else keras.losses.CategoricalCrossentropy()


@functools.cache
def width_of(head: str, loss: str, shape: tuple) -> int:
    """Returns the channels with which a head has as many parameters as the largest one."""
    budget = max(parameters(name, "margin", shape, WIDTH) for name in HEADS)
    start, step = parameters(head, loss, shape, 1), parameters(head, loss, shape, 2)
    width = 1 + round((budget - start) / (step - start))
    found = parameters(head, loss, shape, width)
    if abs(found / budget - 1) > TOLERANCE:
        raise ValueError(
            f"All heads must have {budget:,} parameters within {TOLERANCE:.0%}. Change `WIDTH` or "
            f"`TYPES`. Received: {head!r} with {found:,} at {width} channels"
        )
    return width


@functools.cache
def parameters(head: str, loss: str, shape: tuple, width: int) -> int:
    return built(head, loss, shape, width).count_params()


def built(head: str, loss: str, shape: tuple, width: int) -> keras.Model:
    image = keras.Input(shape, name="image")
    x = image
    for number, (filters, size, strides) in enumerate([(16, 5, 2), (32, 3, 2), (32, 3, 1)]):
        x = _convolution(filters, size, strides, "same", f"trunk_{number}")(x)
    x = _convolution(width, 3, 2, "valid", "head_convolution")(x)
    return keras.Model(image, _scores(head, loss, x), name=head)


def multiply_adds(model: keras.Model) -> int:
    """Returns the products of the layers' kernels for an image; routings add the votes' sums."""
    return sum(_products(layer) for layer in model.layers)


def _convolution(filters, size, strides, padding, name):
    return layers.Conv2D(filters, size, strides, padding=padding, activation="relu", name=name)


def _scores(head, loss, x):
    if head in PLAIN:
        return _plain(head, loss, x)
    if head == "excitation":
        poses = PrimaryCapsule2D(TYPES, DIM, 1, name="primary")(x)
        hidden = layers.Dense(HIDDEN, activation="relu", name="squeeze")(layers.Flatten()(poses))
        gates = layers.Dense(CLASSES * DIM, activation="sigmoid", name="excite")(hidden)
        capsules = layers.Rescaling(DIM**-0.5, name="class_capsules")(
            layers.Reshape((CLASSES, DIM))(gates)
        )
        return _of_lengths(CapsuleLength(name="lengths")(capsules), loss)
    routing, depth = routing_of(head)
    explicit = routing.explicit_activations
    parents = PrimaryCapsule2D(
        TYPES,
        DIM,
        1,
        activation=None if explicit else "squash",
        explicit_activations=explicit,
        name="primary",
    )(x)
    for number in range(1, depth):
        layer = CapsuleLayer(BETWEEN, DIM, routing=routing_of(head)[0], name=f"capsules_{number}")
        parents = layer(parents)
    parents = CapsuleLayer(CLASSES, DIM, routing=routing, name="class_capsules")(parents)
    if explicit:
        return _of_lengths(parents[1], loss)
    if head == "inverted_dot_product":
        logits = layers.Reshape((CLASSES,))(layers.Dense(1, name="logit")(parents))
        return _of_logits(logits, loss)
    return _of_lengths(CapsuleLength(name="lengths")(parents), loss)


def routing_of(head: str) -> tuple[Routing, int]:
    """Returns the routing of a head or a variant, and its number of capsule layers."""
    varied = re.fullmatch(r"(\w+)_(\d)_(iterations|layers)", head)
    name, number, what = varied.groups() if varied else (head, 1, "layers")
    settings = SETTINGS.get(name, {})
    if what == "layers":
        return get(name, **settings), int(number)
    return get(name, iterations=int(number), **settings), 1


def base(head: str) -> str:
    """Returns the head that a variant varies, or the head itself."""
    return re.sub(r"_\d_(iterations|layers)$", "", head)


def _plain(head, loss, x):
    x = layers.GlobalAveragePooling2D()(x) if head == "average_pooling" else layers.Flatten()(x)
    return _of_logits(layers.Dense(CLASSES, name="logits")(x), loss)


def _of_lengths(lengths, loss):
    if loss == "margin":
        return layers.Identity(name="scores")(lengths)
    return layers.Softmax(name="scores")(layers.Rescaling(SHARPNESS)(lengths))


def _of_logits(logits, loss):
    activation = "sigmoid" if loss == "margin" else "softmax"
    return layers.Activation(activation, name="scores")(logits)


def _products(layer):
    if isinstance(layer, PrimaryCapsule2D):
        positions = np.prod(keras.tree.flatten(layer.output)[0].shape[1:3])
        kernels = [weight for weight in layer.trainable_weights if len(weight.shape) == 4]
        return int(positions * sum(np.prod(kernel.shape) for kernel in kernels))
    if isinstance(layer, layers.Conv2D):
        return int(np.prod(layer.output.shape[1:3]) * np.prod(layer.kernel.shape))
    if isinstance(layer, CapsuleLayer):
        return int(np.prod(layer.kernel.shape)) + _of_routing(layer)
    if isinstance(layer, layers.Dense):
        rows = np.prod(layer.output.shape[1:-1], initial=1)
        return int(rows * np.prod(layer.kernel.shape))
    return 0


def _of_routing(layer):
    """Returns the products of the sums over votes that the routing says it needs."""
    children, parents, _, dim = layer.kernel.shape
    return layer.routing.expected_sums * children * parents * dim
