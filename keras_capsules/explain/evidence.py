"""How much of a class each part of the image accounts for, as a graph of Keras operations."""

from typing import Any, NamedTuple

import keras
from keras import ops

from keras_capsules.attention import CapsuleSqueezeExcitation
from keras_capsules.explain.places import places
from keras_capsules.layers import CapsuleLayer, CapsuleLength, CapsuleMask, PrimaryCapsule2D


class Capsules(NamedTuple):
    """What a layer of capsules took and gave, as tensors of the graph.

    Attributes:
        layer: The layer.
        inputs: What it was called with.
        poses: `(batch, num_out, dim)`.
        activations: `(batch, num_out)`.
        coupling: `(batch, num_in, num_out)`.
    """

    layer: Any
    inputs: Any
    poses: Any
    activations: Any
    coupling: Any


def evidence_map(capsules, found: dict, labels=None):
    """Computes the map of `coupling_map` for the longest of some capsules.

    Args:
        capsules: The `Capsules` to explain.
        found: All `Capsules` of the model by the name of their layer.
        labels: One-hot tensor `(batch, num_out)`, of the capsules to explain instead of the
            longest, or most active; or `None`.

    Returns:
        Tensor `(batch, height, width)`.

    Raises:
        ValueError: If the capsules' children have no place in an image.
    """
    if labels is None:
        # The mask of activations as poses of one component is one-hot but for its length.
        chosen = CapsuleMask()(ops.expand_dims(capsules.activations, 2))
        labels = chosen / (ops.expand_dims(CapsuleLength()(chosen), 2))
    else:
        labels = ops.expand_dims(labels, 2)
    total = 0
    for grid, evidence in _evidence(capsules, labels, found):
        rows, columns = (places(grid, axis).astype("float32") for axis in (1, 2))
        evidence = ops.cast(evidence, "float32")
        total = ops.matmul(ops.matmul(rows, evidence), columns.T) + total
    return total


def _evidence(capsules, labels, found):
    """Yields pairs of a feature map and of the evidence in each of its cells."""
    layer, inputs, poses, activations, coupling = capsules
    paired = isinstance(inputs, (tuple, list))
    children = inputs[0] if paired else inputs
    if isinstance(layer, CapsuleLayer) and not paired:
        directions = labels * poses / ops.expand_dims(CapsuleLength()(poses), 2)
        yield from _back(children, layer(inputs, toward=(poses, coupling, directions)), found)
        return
    lengths = CapsuleLength()(children)
    present = inputs[1] if paired else lengths
    votes = ops.squeeze(ops.matmul(coupling, labels), 2)
    votes = ops.reshape(votes, (-1, *present.shape[1:])) * present
    scale = ops.expand_dims(votes / ops.square(lengths), -1)
    yield from _back(children, children * scale, found)


def _back(poses, directions, found):
    """Follows `sum_i poses_i . directions_i` back to where the poses come from."""
    operation, index, _ = poses._keras_history
    sources = operation._inbound_nodes[index].input_tensors
    if isinstance(operation, PrimaryCapsule2D):
        directions = ops.reshape(directions, (-1, *poses.shape[1:]))
        yield sources[0], operation(sources[0], toward=directions)
    elif isinstance(operation, CapsuleLayer) and operation.name in found:
        _, inputs, poses, _, coupling = found[operation.name]
        if isinstance(inputs, (tuple, list)):  # Their votes count by their activations.
            coupling = coupling * ops.reshape(inputs[1], (-1, coupling.shape[1], 1))
        directions = operation(inputs, toward=(poses, coupling, directions))
        yield from _back(sources[0], directions, found)
    elif isinstance(operation, CapsuleSqueezeExcitation):
        gates = ops.expand_dims(operation._inbound_nodes[index].outputs[1], 2)
        directions = ops.reshape(directions, (-1, gates.shape[1], poses.shape[-1])) * gates
        yield from _back(sources[0], directions, found)
    elif isinstance(operation, (keras.layers.Reshape, keras.layers.Dropout)) and (
        sources[0].shape[-1] == poses.shape[-1]
    ):
        yield from _back(sources[0], directions, found)
    elif len(poses.shape) == 5:
        directions = ops.reshape(directions, (-1, *poses.shape[1:]))
        yield poses, ops.sum(poses * directions, axis=(3, 4))
    elif isinstance(operation, keras.layers.Concatenate) and len(poses.shape) == 3:
        start = 0
        for source in sources:
            end = start + source.shape[1]
            yield from _back(source, directions[:, start:end], found)
            start = end
    else:
        raise ValueError(
            f"The capsules that {operation.name!r} makes have no place in the image. Name a "
            "`layer` whose children come from a PrimaryCapsule2D or from a grid of capsules "
            f"(batch, height, width, types, dim). Received: poses of shape {poses.shape}"
        )
