"""Says in a line what is off with a layer of capsules, and what to try."""

import math
from collections.abc import Iterator
from typing import Any

import numpy as np

from keras_capsules.callbacks._watched_model import Seen
from keras_capsules.initializers import VoteScaling
from keras_capsules.layers.voting import VotingLayer

DEAD = 0.01  # As in `DeadCapsuleRate`.
SATURATED = 0.99
ROUNDING = 1e-3  # A longer activation is not squashed, so it cannot be saturated.


def dead(activations: np.ndarray) -> np.ndarray:
    """Returns for each capsule whether no sample activates it; NaN does not."""
    return np.all(~(activations > DEAD), axis=0)


def saturated(activations: np.ndarray) -> np.ndarray:
    """Returns for each capsule whether every sample activates it almost fully."""
    return np.all((activations > SATURATED) & (activations < 1 + ROUNDING), axis=0)


def shares(seen: Seen) -> dict[str, float]:
    """Returns the figures of a layer by their names."""
    finite = bool(np.isfinite(seen.activations).all())
    figures = {
        "dead": float(dead(seen.activations).mean()) if finite else math.nan,
        "saturated": float(saturated(seen.activations).mean()) if finite else math.nan,
    }
    return figures if seen.entropy is None else {**figures, "coupling_entropy": seen.entropy}


def of_capsules(layers: dict[str, Any], seen: dict[str, Seen]) -> Iterator[str]:
    """Yields a line for each layer with too many dead or saturated capsules, lowest layer first.

    Half of the last layer is too many, since its capsules are the classes. Others are allowed a few
    useful capsules: an edge without ink has dead ones.
    """
    for name, layer in layers.items():
        activations = seen[name].activations
        limit = 0.5 if name == next(reversed(layers)) else 0.95
        if not np.isfinite(activations).all():
            yield f"{name}: its activations are not finite. {_NOT_FINITE}"
            return  # Nothing above it is finite.
        if dead(activations).mean() >= limit:
            yield f"{_count(name, dead(activations), 'dead', f'< {DEAD}')} {_too_short(layer)}"
        if saturated(activations).mean() >= limit:
            count = _count(name, saturated(activations), "saturated", f"> {SATURATED}")
            yield f"{count} {_too_long(layer)}"


def of_gradients(gradients: dict[str, float], loss: float | None) -> Iterator[str]:
    """Yields a line for a gradient that is not finite, or zero though the loss is not."""
    for name, size in gradients.items():
        if not np.isfinite(size):
            yield f"{name}: its gradient is not finite. {_NOT_FINITE}"
            return
    if loss == 0:
        return
    without = [name for name, size in gradients.items() if size == 0]
    if without:
        more = f" and {len(without) - 1} more layers" if len(without) > 1 else ""
        yield (
            f"{without[0]}{more}: the gradient is zero, so the weights stay as they are. Look for "
            "dead or saturated capsules above, and whether the loss depends on the layer."
        )


def of_scores(epochs: int, loss: float, constant: float) -> str:
    """Returns the line for scores that say no more than one answer for all samples."""
    return (
        f"scores: for {epochs} epochs no better than the same answer for every sample (loss "
        f"{loss:.4g}; of their mean {constant:.4g}). Check that labels belong to their samples, "
        "then try a learning rate ten times as large, ten times as small, or more epochs."
    )


_NOT_FINITE = (
    "Look for NaN in the data, lower the learning rate, or limit the gradient, as with "
    "keras.optimizers.Adam(clipnorm=1.0)."
)


def _count(name, found, what, limit):
    return (
        f"{name}: {found.sum()} of {found.size} capsules are {what} (activation {limit} for every "
        "sample)."
    )


def _too_short(layer):
    if not isinstance(layer, VotingLayer):
        return (
            "Their features are too small: scale the pixels to [0, 1], normalize the features, "
            "or raise the learning rate."
        )
    start = isinstance(layer.kernel_initializer, VoteScaling)
    initializer = "" if start else 'use kernel_initializer="vote_scaling", '
    if layer.routing.explicit_activations:
        return (
            f"Their votes do not agree: {initializer}start with a small margin "
            "(SpreadMarginSchedule), or lower the learning rate."
        )
    return (
        f"Their votes are too short: {initializer}normalize the features, or raise the learning "
        "rate."
    )


def _too_long(layer):
    if not isinstance(layer, VotingLayer):
        return (
            "Their features are too large: scale the pixels to [0, 1], or normalize the features."
        )
    start = isinstance(layer.kernel_initializer, VoteScaling)
    initializer = "" if start else 'use kernel_initializer="vote_scaling", '
    return (
        f"Their votes are too long: {initializer}normalize the features, or lower the learning "
        "rate."
    )
