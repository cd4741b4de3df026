"""Puts a classifier on the features of any backbone: capsules, or what they are compared with."""

import math
from typing import NamedTuple

import keras
import numpy as np
from keras import layers

from keras_capsules._arguments import positive_integer
from keras_capsules._graph import ends, is_graph, producer, upstream
from keras_capsules.attention import SqueezeExcitation
from keras_capsules.layers import CapsuleLayer, CapsuleLength, PrimaryCapsule1D, PrimaryCapsule2D
from keras_capsules.routing import InvertedDotProductRouting, Routing, get

# Larger maps are pooled to at most this size, and sequences to its square.
_GRID = 8
# What an open axis is counted as, where a number is needed.
_USUAL = 7
_HEADS = ("capsules", "squeeze_excitation", "pooling")


def add_head(
    backbone: keras.Model,
    num_classes: int,
    head: str = "capsules",
    routing: "str | dict | Routing" = "self_attention",
    primary_capsules: int = 16,
    primary_dim: int = 8,
    capsule_dim: int = 16,
) -> keras.Model:
    """Puts a classifier on the features of a backbone, and returns both as one model.

    Each head starts with a normalization over all features of a sample, so that it learns from
    features of any scale. Then come:

    * `"capsules"`: primary capsules at each position, which share their weights, and class
      capsules, whose lengths are the scores. Maps larger than 8 x 8 are pooled first. Train it with
      `MarginLoss`. With a routing that has explicit activations, these are the scores. The capsules
      of `"inverted_dot_product"` all have the same length, so a dense layer and softmax follow
      them.
    * `"squeeze_excitation"`: a gate for each channel, the mean over the positions, a dense layer
      and softmax. Train it with `SparseCategoricalCrossentropy`, or `CategoricalCrossentropy` for
      one-hot labels, and the next head too.
    * `"pooling"`: the same without gates.

    The last two get enough units to have as many parameters as the first, within 1 % if the
    backbone has 64 channels or more. For 10 classes on maps of 7 x 7 the head has 25,888 parameters
    at 128 channels, 175,648 at 1,280 and 275,488 at 2,048: `2 * channels` of the normalization,
    `128 * (channels + 1)` of the primary capsules, `8 * 16` for each class, and what the routing
    has, here one for each child and class.

    The model shares its layers with the backbone. `backbone.trainable = False` freezes these layers
    in both, whether it is set before or after. A deep backbone with new weights gives nearly the
    same features for every picture, so no head can learn from them: load weights, or let it train.
    Batch normalization that trains needs some hundred steps before validation follows the training,
    because of Keras' momentum of 0.99.

    Args:
        backbone: Functional or sequential `keras.Model`, such as those of `keras.applications` with
            `include_top=False`. Its output is a map `(batch, height, width, channels)`, a sequence
            `(batch, length, channels)` or a vector `(batch, channels)`. Height, width and length
            may be open with a routing that has no weights for each child, such as `"dynamic"`.
        num_classes: Integer, 2 or more.
        head: `"capsules"`, `"squeeze_excitation"` or `"pooling"`. Defaults to `"capsules"`.
        routing: As in `CapsuleLayer`, for capsules. Defaults to `"self_attention"`.
            `"squeeze_excitation"` and `"variational_bayes"` read more of MNIST's digits with
            `MarginLoss`, above all after few images: 94.6 and 96.6 % after 500, against 87.1 % with
            the default (docs/which-one.md).
        primary_capsules: Integer. Types of primary capsules at each position. Like the next two,
            it also sets the size of the other heads. Defaults to `16`.
        primary_dim: Integer. Size of their poses. Defaults to `8`.
        capsule_dim: Integer. Size of the class capsules' poses. Defaults to `16`.

    Returns:
        A functional `keras.Model` from the backbone's inputs to `scores`, `(batch, num_classes)` in
        [0, 1].

    Raises:
        ValueError: If an argument is out of range, or if the backbone is subclassed, has no shapes
            yet, has several outputs, ends in scores, has channels first, gives no such features, or
            has weights that are not finite.

    Example:

    >>> backbone = keras_capsules.create_model("se_resnet20", include_top=False, blocks=1)
    >>> model = keras_capsules.add_head(backbone, num_classes=5)
    >>> model.output_shape
    (None, 5)
    >>> model.count_params() - backbone.count_params()  # of the head
    14208
    """
    if head not in _HEADS:
        raise ValueError(f"`head` must be one of {', '.join(_HEADS)}. Received: head={head!r}")
    if positive_integer("num_classes", num_classes) < 2:
        raise ValueError(f"`num_classes` must be 2 or more. Received: num_classes={num_classes}")
    capsules = _Capsules(
        num_classes,
        get(routing),
        positive_integer("primary_capsules", primary_capsules),
        positive_integer("primary_dim", primary_dim),
        positive_integer("capsule_dim", capsule_dim),
    )
    x = _normalized(_features(backbone))
    if head == "capsules":
        scores = _capsule_scores(x, capsules)
    else:
        gated = head == "squeeze_excitation"
        scores = _pooled_scores(x, num_classes, *_widths(x.shape, capsules, gated))
    return keras.Model(ends(backbone)[0], scores, name=f"{backbone.name}_{head}")


class _Capsules(NamedTuple):
    """The sizes of a head of capsules, which the others follow."""

    num_classes: int
    routing: Routing
    types: int
    dim: int
    capsule_dim: int


def _normalized(features):
    """Gives the features of each sample the mean zero and the variance one."""
    x = features
    if len(x.shape) == 2:
        x = layers.Reshape((1, x.shape[1]), name="head_position")(x)
    # The usual epsilon would drown small features.
    return layers.GroupNormalization(1, epsilon=1e-12, name="head_normalization")(x)


def _capsule_scores(x, capsules):
    """Adds primary capsules at each position, and class capsules."""
    maps = len(x.shape) == 4
    pooling, primary = (
        (layers.AveragePooling2D, PrimaryCapsule2D)
        if maps
        else (layers.AveragePooling1D, PrimaryCapsule1D)
    )
    limit = _GRID if maps else _GRID**2
    sizes = [size or 1 for size in x.shape[1:-1]]
    pool = tuple(math.ceil(size / limit) for size in sizes)
    if max(pool) > 1:
        x = pooling(
            pool if maps else pool[0],
            padding="same",
            data_format="channels_last",
            name="head_pool",
        )(x)
    explicit = capsules.routing.explicit_activations
    poses = primary(
        capsules.types,
        capsules.dim,
        kernel_size=1,
        activation=None if explicit else "squash",
        explicit_activations=explicit,
        name="primary_capsules",
    )(x)
    if capsules.routing.vote_scaling.get("target", "sum") == "sum":
        # Children of a type are alike at all positions, so that their votes add up. Unscaled, all
        # class capsules would be saturated, and each step of a training would overshoot.
        positions = math.prod(size or _USUAL for size in x.shape[1:-1])
        scale = layers.Rescaling(1 / math.sqrt(positions), name="primary_scale")
        poses = (scale(poses[0]), poses[1]) if explicit else scale(poses)
    parents = CapsuleLayer(
        capsules.num_classes,
        capsules.capsule_dim,
        routing=capsules.routing,
        share_weights=True,
        name="class_capsules",
    )(poses)
    return _scores_of(parents, capsules)


def _scores_of(parents, capsules):
    """Adds lengths or explicit activations, or what replaces lengths that are all the same."""
    if capsules.routing.explicit_activations:
        return layers.Identity(name="scores")(parents[1])
    if not isinstance(capsules.routing, InvertedDotProductRouting):
        return CapsuleLength(name="scores")(parents)
    logits = layers.Reshape((capsules.num_classes,), name="logits")(
        layers.Dense(1, name="logit")(parents)
    )
    return layers.Softmax(name="scores")(logits)


def _pooled_scores(x, num_classes, units, gate):
    """Adds a dense layer and softmax after the mean over the positions, with gates if given."""
    if gate:
        x = SqueezeExcitation(reduced_channels=gate, data_format="channels_last", name="head_se")(x)
    pool = layers.GlobalAveragePooling2D if len(x.shape) == 4 else layers.GlobalAveragePooling1D
    x = pool(data_format="channels_last", name="head_pool")(x)
    x = layers.Dense(units, activation="relu", name="head_dense")(x)
    return layers.Dense(num_classes, activation="softmax", name="scores")(x)


def _widths(shape, capsules, gated):
    """Returns the units and the width of the gates of a head with as many parameters as capsules.

    The gates get about half of them.
    """
    features = keras.Input([size or _USUAL for size in shape[1:]])
    routing = keras.saving.serialize_keras_object(capsules.routing)  # Not built with these shapes.
    scores = _capsule_scores(features, capsules._replace(routing=get(routing)))
    channels, classes = shape[-1], capsules.num_classes
    rest = keras.Model(features, scores).count_params() - classes
    gate = max(1, capsules.types * capsules.dim // 4) if gated else 0
    if gated:
        rest -= 2 * channels * gate + gate + channels
    return max(1, round(rest / (channels + 1 + classes))), gate


def _features(backbone):
    """Returns the output of a backbone, or raises an error if no head can follow."""
    name = f"{type(backbone).__name__} {getattr(backbone, 'name', backbone)!r}"
    if not is_graph(backbone):
        raise ValueError(
            "A head follows the last layer of a functional or sequential model. Wrap another one, "
            f"keras.Model(inputs, backbone(inputs)). Received: {name}"
        )
    if not backbone.built:
        raise ValueError(
            "The backbone has no shapes yet. Start it with a `keras.Input`, or call it once. "
            f"Received: {name}"
        )
    outputs = keras.tree.flatten(ends(backbone)[1])
    shapes = [tuple(output.shape) for output in outputs]
    if len(outputs) != 1:
        raise ValueError(
            "A head follows one output. Choose it, keras.Model(backbone.inputs, "
            f"backbone.outputs[0]). Received: {name} with outputs of shapes {shapes}"
        )
    if len(shapes[0]) not in (2, 3, 4) or None in shapes[0][-1:] or 0 in shapes[0]:
        raise ValueError(
            "A head follows a map (batch, height, width, channels), a sequence (batch, length, "
            "channels) or a vector (batch, channels), none of them empty. "
            f"Received: {name} with an output of shape {shapes[0]}"
        )
    _check_end(outputs[0], name)
    for weight in backbone.weights:
        values = keras.ops.convert_to_numpy(weight)
        if np.issubdtype(values.dtype, np.floating) and not np.isfinite(values).all():
            raise ValueError(
                "The backbone computes NaN, because it has weights that are not finite. Load them "
                f"again, or train it at a lower learning rate. Received: {weight.path}"
            )
    return outputs[0]


def _check_end(features, name):
    """Refuses scores, and channels that are not last."""
    last = producer(features).operation
    while is_graph(last):
        last = producer(keras.tree.flatten(ends(last)[1])[0]).operation
    activation = getattr(last, "activation", None)
    bounded = (keras.activations.softmax, keras.activations.sigmoid)
    if activation in bounded or isinstance(last, (layers.Softmax, CapsuleLength)):
        raise ValueError(
            "The backbone ends in scores, and a head needs the features below them. Build it with "
            "`include_top=False`, or cut it, keras.Model(backbone.inputs, backbone.layers[-2]."
            f"output). Received: {name}, whose last layer is {last.name!r}"
        )
    for layer in _layers_above(features):
        if isinstance(layer, layers.Permute):
            return
        if getattr(layer, "data_format", None) == "channels_first":
            raise ValueError(
                "A head expects channels last. Add keras.layers.Permute((2, 3, 1)) to the "
                f"backbone. Received: {name}, whose layer {layer.name!r} has channels first"
            )


def _layers_above(features):
    """Yields the layers that features come from, the last first, also those of nested models."""
    for tensor in upstream([features]):
        layer = producer(tensor).operation
        if is_graph(layer):
            for output in keras.tree.flatten(ends(layer)[1]):
                yield from _layers_above(output)
        else:
            yield layer
