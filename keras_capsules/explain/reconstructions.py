"""Draws images with their reconstructions from the capsules."""

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import keras
import numpy as np

from keras_capsules.explain._figures import grid_of_axes, show
from keras_capsules.explain.explained_model import explained_model

if TYPE_CHECKING:
    from matplotlib.figure import Figure


def plot_reconstructions(
    model: keras.Model, images: Any, titles: Sequence | None = None, batch_size: int = 32
) -> "Figure":
    """Draws each image, and under the image its reconstruction from the longest capsule.

    Args:
        model: `keras.Model` with a decoder, such as a model of the zoo made with
            `with_decoder=True`.
        images: Array `(batch, height, width, channels)`, as the model takes them.
        titles: Strings, one for each image, or `None`, the default.
        batch_size: Integer. Defaults to `32`.

    Returns:
        A `matplotlib.figure.Figure`, to save by `figure.savefig`.

    Raises:
        ImportError: If matplotlib is missing.
        ValueError: If the model has no decoder.

    Example:

    >>> model = keras_capsules.create_model("efficient_capsnet", "mnist", with_decoder=True)
    >>> digits = keras_capsules.models.examples("efficient_capsnet", "mnist")["image"][:3]
    >>> figure = keras_capsules.explain.plot_reconstructions(model, digits)
    >>> len(figure.axes)
    6
    """
    images = np.asarray(images)
    explained = explained_model(model, ["reconstruction"])
    drawn = explained.predict(images, batch_size=batch_size, verbose=0)["reconstruction"]
    figure, axes = grid_of_axes(2, len(images))
    axes[0, 0].set_ylabel("input")
    axes[1, 0].set_ylabel("drawn")
    for column, pair in enumerate(zip(images, drawn, strict=True)):
        for row, image in enumerate(pair):
            show(axes[row, column], image)
        if titles is not None:
            axes[0, column].set_title(str(titles[column]), fontsize="medium")
    return figure
