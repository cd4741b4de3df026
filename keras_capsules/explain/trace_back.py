"""Follows evidence from capsules back to feature maps, by one function for each type of layer."""

import functools
from collections.abc import Iterator
from typing import Any, NamedTuple

import keras
import numpy as np
from keras import ops

from keras_capsules._graph import producer
from keras_capsules.attention import CapsuleSqueezeExcitation
from keras_capsules.explain._layer_shares import CellShares, ChildDirections
from keras_capsules.explain._recording import Capsules
from keras_capsules.layers import CapsuleLayer
from keras_capsules.layers.primary_capsule import PrimaryCapsule
from keras_capsules.layers.voting import split_pair


class Step(NamedTuple):
    """One layer on the way back, and what is followed through it.

    Attributes:
        inputs: List of the tensors that the layer was called on.
        outputs: List of the tensors that the layer returned.
        poses: The one of `outputs` that is followed, `(batch, num_capsules, dim)` or a grid.
        directions: A vector for each pose, in the shape of `poses` or with a grid flattened.
            `sum_i poses_i . directions_i` is the evidence to divide among the inputs.
        capsules: Dictionary of all `Capsules` of the model by the name of their layer.
    """

    inputs: list
    outputs: list
    poses: Any
    directions: Any
    capsules: dict[str, Capsules]

    def follow(self, poses: Any, directions: Any) -> Iterator[tuple[Any, Any]]:
        """Goes on from poses before the layer, with a direction for each of them."""
        yield from follow(poses, directions, self.capsules)


def follow(poses: Any, directions: Any, capsules: dict[str, Capsules]) -> Iterator[tuple[Any, Any]]:
    """Divides `sum_i poses_i . directions_i` among the feature maps that the poses come from.

    Yields:
        Pairs of a feature map `(batch, height, width, ...)` and of the evidence in each of its
        cells `(batch, height, width)`. Both have one axis instead of two where the capsules are
        made of a sequence.
    """
    layer, inputs, outputs = producer(poses)
    yield from trace_back(layer, Step(inputs, outputs, poses, directions, capsules))


@functools.singledispatch
def trace_back(layer: Any, step: Step) -> Iterator[tuple[Any, Any]]:
    """Divides the evidence in the capsules that a layer made among what the layer was called on.

    A layer of another type is followed once a function is registered for the type. At a layer of
    another type the way back ends, if it makes a grid of capsules, which is a feature map itself.

    Args:
        layer: The layer. Its type decides which function is called.
        step: The `Step`.

    Yields:
        Pairs of a feature map and of the evidence in each of its cells.

    Raises:
        ValueError: If the layer's type is not registered and it makes no grid of capsules.

    Example:

    >>> class Halve(keras.layers.Layer):
    ...     def call(self, poses):
    ...         return poses / 2
    >>> @keras_capsules.explain.trace_back.register(Halve)
    ... def halve(layer, step):
    ...     yield from step.follow(step.inputs[0], step.directions / 2)
    """
    poses = step.poses
    if len(poses.shape) < 4:
        raise ValueError(
            f"The capsules that {layer.name!r} makes have no place in the image. Name a "
            "`layer` whose children come from a PrimaryCapsule or from a grid of capsules "
            f"(batch, height, width, types, dim), or register {type(layer).__name__} with "
            "`keras_capsules.explain.trace_back.register`. "
            f"Received: poses of shape {poses.shape}"
        )
    directions = ops.reshape(step.directions, (-1, *poses.shape[1:]))
    yield poses, ops.sum(poses * directions, axis=(-2, -1))


_end = trace_back.dispatch(object)


@trace_back.register(PrimaryCapsule)
def _primary_capsule(layer, step):
    directions = ops.reshape(step.directions, (-1, *step.poses.shape[1:]))
    yield step.inputs[0], CellShares()(step.inputs[0], step.poses, directions)


@trace_back.register(CapsuleLayer)
def _capsule_layer(layer, step):
    _, inputs, poses, _, coupling = step.capsules[layer.name]
    children, activations = split_pair(inputs)
    if activations is not None:  # The children's votes count by their activations.
        coupling = coupling * ops.reshape(activations, (-1, coupling.shape[1], 1))
    directions = ChildDirections()(children, poses, coupling, step.directions)
    yield from step.follow(children, directions)


@trace_back.register(CapsuleSqueezeExcitation)
def _capsule_squeeze_excitation(layer, step):
    gates = ops.expand_dims(step.outputs[1], 2)
    shape = (-1, gates.shape[1], step.poses.shape[-1])
    directions = ops.reshape(step.directions, shape) * gates
    yield from step.follow(step.inputs[0], directions)


@trace_back.register(keras.layers.Reshape)
@trace_back.register(keras.layers.Dropout)
def _same_poses(layer, step):
    if step.inputs[0].shape[-1] == step.poses.shape[-1]:
        yield from step.follow(step.inputs[0], step.directions)
    else:
        yield from _end(layer, step)


@trace_back.register(keras.layers.Rescaling)
def _rescaling(layer, step):
    if np.ndim(layer.scale) or np.any(layer.offset):
        yield from _end(layer, step)
    else:
        yield from step.follow(step.inputs[0], step.directions * layer.scale)


@trace_back.register(keras.layers.Concatenate)
def _concatenate(layer, step):
    if len(step.poses.shape) != 3 or layer.axis not in (1, -2):
        yield from _end(layer, step)
        return
    start = 0
    for source in step.inputs:
        end = start + source.shape[1]
        yield from step.follow(source, step.directions[:, start:end])
        start = end
