"""Says in one line what is wrong with a layer of capsules, and what to try."""

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
    finite = _finite(seen.activations)
    figures = {
        "dead": float(dead(seen.activations).mean()) if finite else math.nan,
        "saturated": float(saturated(seen.activations).mean()) if finite else math.nan,
    }
    return figures if seen.entropy is None else {**figures, "coupling_entropy": seen.entropy}


def complaints(
    layers: dict[str, Any], seen: dict[str, Seen], gradients: dict[str, float], loss: float | None
) -> Iterator[tuple[str, str]]:
    """Yields what is wrong, causes before their consequences, as pairs of key and line.

    Args:
        layers: The layers of capsules by their names, lowest first.
        seen: What each of them does.
        gradients: The size of the gradient of each layer with weights.
        loss: The loss of the scores, or `None` where unknown.
    """
    yield from _not_finite(seen, gradients)
    yield from _of_capsules(layers, seen)
    without = [name for name, size in gradients.items() if size == 0]
    if without and loss != 0:
        more = f" and {len(without) - 1} more layers" if len(without) > 1 else ""
        yield (
            "gradient",
            f"{without[0]}{more}: the gradient is zero, so the weights stay as they are. Look for "
            "dead or saturated capsules above, and whether the loss depends on the layer.",
        )


def of_constant_answer(epochs: int, loss: float, constant: float) -> tuple[str, str]:
    """Returns key and line for scores that say no more than one answer for all samples."""
    return (
        "scores",
        f"scores: for {epochs} epochs no better than the same answer for every sample (loss "
        f"{loss:.4g}; of their mean {constant:.4g}). Check that labels belong to their samples, "
        "then try a learning rate ten times as large, ten times as small, or more epochs.",
    )


def _not_finite(seen, gradients):
    what = {name: "activations are" for name, x in seen.items() if not _finite(x.activations)}
    for name, size in gradients.items():
        if not _finite(size):
            what.setdefault(name, "gradient is")
    for name, found in what.items():
        yield (
            f"{name}/finite",
            f"{name}: its {found} not finite. Look for NaN in the data, lower the learning rate, "
            "or limit the gradient, as with keras.optimizers.Adam(clipnorm=1.0).",
        )


def _of_capsules(layers, seen):
    for name, layer in layers.items():
        activations = seen[name].activations
        # The last capsules are the classes. Others may be dead where no image has any ink.
        limit = 0.5 if name == next(reversed(layers)) else 0.95
        for what, limits, found, remedy in (
            ("dead", f"at most {DEAD}", dead(activations), _too_short),
            ("saturated", f"above {SATURATED}", saturated(activations), _too_long),
        ):
            if found.mean() >= limit:
                yield (
                    f"{name}/{what}",
                    f"{name}: {found.sum()} of {found.size} capsules are {what} (activation "
                    f"{limits} for every sample). {remedy(layer)}",
                )


def _finite(values):
    return bool(np.isfinite(values).all())


def _too_short(layer):
    if not isinstance(layer, VotingLayer):
        return (
            "Their features are too small: scale the pixels to [0, 1], normalize the features, or "
            "raise the learning rate."
        )
    if layer.routing.explicit_activations:
        return (
            f"Their votes do not agree: {_initializer(layer)}start with a small margin "
            "(SpreadMarginSchedule), or lower the learning rate."
        )
    return (
        f"Their votes are too short: {_initializer(layer)}normalize the features, or raise the "
        "learning rate."
    )


def _too_long(layer):
    what = "votes" if isinstance(layer, VotingLayer) else "features"
    return (
        f"Their {what} are too large: {_initializer(layer)}scale the pixels to [0, 1], normalize "
        "the features, or lower the learning rate."
    )


def _initializer(layer):
    if isinstance(getattr(layer, "kernel_initializer", None), VoteScaling):
        return ""
    return 'use kernel_initializer="vote_scaling", ' if isinstance(layer, VotingLayer) else ""
