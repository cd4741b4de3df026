"""Draws what each dimension of a pose stands for, by moving the dimension a little."""

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import keras
import numpy as np

from keras_capsules.explain._figures import grid_of_axes, show
from keras_capsules.explain.decoder_model import decoder_model
from keras_capsules.explain.explained_model import explained_model

if TYPE_CHECKING:
    from matplotlib.figure import Figure

DELTAS = tuple(np.linspace(-0.25, 0.25, 11).round(2).tolist())


def pose_traversal(
    model: keras.Model, images: Any, deltas: Sequence[float] = DELTAS, batch_size: int = 128
) -> np.ndarray:
    """Draws the longest capsule of each image with each dimension of its pose moved.

    `decoded[b, d, k] = decoder(mask(poses_b) + deltas_k * unit vector d of the longest capsule)`

    Args:
        model: `keras.Model` with capsules and a trained decoder, such as a model of the zoo made
            with `with_decoder=True`. It is not changed.
        images: Array `(batch, height, width, channels)`, as the model takes them.
        deltas: Floats. Values that are added to a dimension. Defaults to the eleven from -0.25 to
            0.25 of the paper.
        batch_size: Integer, of poses to decode at once. Defaults to `128`.

    Returns:
        Array `(batch, capsule_dim, steps, height, width, channels)`.

    Raises:
        ValueError: If the model has no capsules, or does not have exactly one decoder.

    Example:

    >>> model = keras_capsules.create_model("efficient_capsnet", "mnist", with_decoder=True)
    >>> digits = keras_capsules.models.examples("efficient_capsnet", "mnist")["image"][:1]
    >>> keras_capsules.explain.pose_traversal(model, digits, deltas=(-0.1, 0, 0.1)).shape
    (1, 16, 3, 28, 28, 1)

    Reference:
        Sabour, Frosst, Hinton, 2017, arXiv 1710.09829, section 5.1 and figure 4.
    """
    decoder = decoder_model(model)
    found = explained_model(model, ["poses", "activations"]).predict(
        np.asarray(images), batch_size=batch_size, verbose=0
    )
    poses, longest = found["poses"], found["activations"].argmax(axis=1)
    batch, _, dim = poses.shape
    rows = np.arange(batch)
    moves = np.asarray(deltas, dtype="float32")[None, :, None] * np.eye(dim)[:, None, :]
    moved = np.zeros((batch, dim, len(deltas), *poses.shape[1:]), "float32")
    moved[rows, :, :, longest] = poses[rows, longest][:, None, None] + moves
    decoded = decoder.predict(moved.reshape(-1, *poses.shape[1:]), batch_size=batch_size, verbose=0)
    return decoded.reshape(batch, dim, len(deltas), *decoded.shape[1:])


def plot_pose_traversal(
    model: keras.Model, image: Any, deltas: Sequence[float] = DELTAS
) -> "Figure":
    """Draws the traversal of one image: a row for each dimension, a column for each step.

    Args:
        model: As in `pose_traversal`.
        image: Array `(height, width, channels)`, as the model takes it.
        deltas: Floats. Value that is added in each column. Defaults to those of `pose_traversal`.

    Returns:
        A `matplotlib.figure.Figure`, to save by `figure.savefig`.

    Raises:
        ImportError: If matplotlib is missing.

    Example:

    >>> model = keras_capsules.create_model("efficient_capsnet", "mnist", with_decoder=True)
    >>> digit = keras_capsules.models.examples("efficient_capsnet", "mnist")["image"][0]
    >>> figure = keras_capsules.explain.plot_pose_traversal(model, digit, deltas=(-0.1, 0, 0.1))
    >>> len(figure.axes)
    48
    """
    (decoded,) = pose_traversal(model, np.asarray(image)[None], deltas)
    figure, axes = grid_of_axes(*decoded.shape[:2], size=0.5)
    for row, images in enumerate(decoded):
        axes[row, 0].set_ylabel(str(row + 1), rotation=0, ha="right", va="center")
        for one, image in zip(axes[row], images, strict=True):
            show(one, image)
    for one, delta in zip(axes[0], deltas, strict=True):
        one.set_title(f"{delta:+.2f}", fontsize="small")
    figure.supylabel("dimension of the pose")
    return figure
