"""Makes the figures and axes that the plots draw on."""

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
    """Draws an image `(height, width, channels)` in [0, 1], in grey if it has one channel."""
    image = np.clip(np.asarray(image, dtype="float32"), 0, 1)
    axes.imshow(image[..., 0] if image.shape[-1] == 1 else image, cmap="gray_r", vmin=0, vmax=1)
