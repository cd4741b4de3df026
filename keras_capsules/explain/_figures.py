"""Makes the figures and axes that the plots draw on."""

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

if TYPE_CHECKING:
    from matplotlib.figure import Figure


def new_figure(width: float, height: float) -> "Figure":
    """Returns an empty `matplotlib.figure.Figure` of this size in inches.

    Raises:
        ImportError: If matplotlib is missing.
    """
    try:
        from matplotlib.figure import Figure
    except ImportError as error:
        raise ImportError(
            "Plots need matplotlib. Install it with `pip install 'keras-capsules[explain]'`."
        ) from error
    return Figure(figsize=(width, height), layout="constrained")


def grid_of_axes(rows: int, columns: int, size: float = 1.2) -> tuple["Figure", np.ndarray]:
    """Returns a figure and its axes as an array `(rows, columns)`, without ticks and frames."""
    figure = new_figure(size * columns + 0.4, size * rows + 0.4)
    axes = figure.subplots(rows, columns, squeeze=False)
    for one in axes.flat:
        one.set(xticks=[], yticks=[])
        one.spines[:].set_visible(False)
    return figure, axes


def show(axes: Any, image: Any) -> None:
    """Draws an image `(height, width, channels)`, in grey if it does not have three channels.

    If values are outside [0, 1], all are scaled to it, from the smallest to the largest.
    """
    image = np.asarray(image, dtype="float32")
    if image.min() < 0 or image.max() > 1:
        image = (image - image.min()) / (np.ptp(image) or 1.0)
    image = image if image.shape[-1] == 3 else image.mean(axis=-1)
    axes.imshow(image, cmap="gray_r", vmin=0, vmax=1)


def plot_maps(inputs: Any, maps: Any, titles: Sequence | None = None) -> "Figure":
    """Draws each input with its map: red for the class, blue against it, each on its own scale.

    Args:
        inputs: Array `(batch, height, width, channels)` of images, `(batch, length, channels)` of
            signals or `(batch, length)` of tokens.
        maps: Array `(batch, height, width)` or `(batch, length)`.
        titles: Strings, one for each input, or `None`, the default.

    Returns:
        A `matplotlib.figure.Figure`: for images a column for each of two axes, the image and its
        map, otherwise a row for each of one axes.
    """
    inputs, maps = np.asarray(inputs), np.asarray(maps)
    titles = [""] * len(inputs) if titles is None else titles
    images = maps.ndim == 3
    if images:
        figure, axes = grid_of_axes(2, len(inputs))
    else:
        figure = new_figure(8, 1.6 * len(inputs) + 0.3)
        axes = figure.subplots(len(inputs), 1, squeeze=False).T
    for column, (one, found, title) in enumerate(zip(inputs, maps, titles, strict=True)):
        limit = np.abs(found).max() or 1.0
        colours = {"cmap": "RdBu_r", "vmin": -limit, "vmax": limit}
        axes[0, column].set_title(str(title), fontsize="medium")
        if images:
            show(axes[0, column], one)
            show(axes[1, column], one)
            axes[1, column].imshow(found, alpha=0.7, **colours)
        else:
            _show_sequence(axes[0, column], one, found, colours)
    return figure


def _show_sequence(axes: Any, values: np.ndarray, found: np.ndarray, colours: dict) -> None:
    """Draws a signal over time on the colours of its map, or a coloured cell for each token."""
    steps = len(found)
    if values.ndim == 1:
        axes.imshow(found[None], aspect="auto", **colours)
        for step, token in enumerate(values):
            colour = "white" if abs(found[step]) > 0.6 * colours["vmax"] else "black"
            axes.text(step, 0, f"{token:g}", color=colour, ha="center", va="center")
    else:
        low, high = values.min(), values.max()
        edge = 0.05 * (high - low) or 1.0
        extent = (-0.5, steps - 0.5, low - edge, high + edge)
        axes.imshow(found[None], aspect="auto", extent=extent, alpha=0.7, **colours)
        axes.plot(values, linewidth=1)
    axes.set(yticks=[], xlim=(-0.5, steps - 0.5))
