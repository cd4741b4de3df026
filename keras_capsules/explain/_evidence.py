"""Divides the score of a class among the pixels, as a graph of Keras operations."""

from collections.abc import Iterator
from typing import Any

import keras
from keras import ops

from keras_capsules.explain._content import content_of
from keras_capsules.explain._layer_shares import ChildDirections
from keras_capsules.explain._pixel_shares import spread
from keras_capsules.explain._recording import Capsules
from keras_capsules.explain.trace_back import follow
from keras_capsules.layers import CapsuleLayer, CapsuleLength, CapsuleMask
from keras_capsules.layers.voting import split_pair


def evidence_map(
    capsules: Capsules, all_capsules: dict[str, Capsules], labels: Any = None, even: bool = False
) -> Any:
    """Computes the map of `coupling_map` for the longest of some capsules.

    Args:
        capsules: The `Capsules` to explain.
        all_capsules: All `Capsules` of the model by the name of their layer.
        labels: One-hot tensor `(batch, num_out)`, of the capsules to explain instead of the
            longest, or most active; or `None`.
        even: Whether a cell is divided evenly among the pixels that it sees, whatever they hold.

    Returns:
        Tensor `(batch, height, width)`, or `(batch, length)` of a sequence.

    Raises:
        ValueError: If the capsules' children have no place in an image.
    """
    if labels is None:
        # The mask of activations as poses of one component is one-hot but for its length.
        chosen = CapsuleMask()(ops.expand_dims(capsules.activations, 2))
        labels = chosen / ops.expand_dims(_lengths(chosen), 2)
    else:
        labels = ops.expand_dims(labels, 2)
    total = 0
    for feature_map, evidence in _evidence(capsules, labels, all_capsules):
        content = None if even else content_of(feature_map, len(evidence.shape) - 1)
        total = spread(ops.cast(evidence, "float32"), feature_map, content) + total
    return total


def _evidence(
    capsules: Capsules, labels: Any, all_capsules: dict[str, Capsules]
) -> Iterator[tuple[Any, Any]]:
    """Yields pairs of a feature map and of the evidence in each of its cells."""
    layer, inputs, poses, _, coupling = capsules
    children, activations = split_pair(inputs)
    if isinstance(layer, CapsuleLayer) and activations is None:
        directions = labels * poses / ops.expand_dims(_lengths(poses), 2)
        directions = ChildDirections()(children, poses, coupling, directions)
    else:
        lengths = _lengths(children)
        present = lengths if activations is None else activations
        votes = ops.squeeze(ops.matmul(coupling, labels), 2)
        votes = ops.reshape(votes, (-1, *present.shape[1:])) * present
        directions = children * ops.expand_dims(votes / ops.square(lengths), -1)
    yield from follow(children, directions, all_capsules)


def _lengths(poses: Any) -> Any:
    """Returns lengths, whose squares half precision does not hold."""
    return CapsuleLength(dtype=keras.backend.result_type(poses.dtype, "float32"))(poses)
