"""Draws images with their reconstructions from the capsules."""

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from keras_capsules.explain._figures import grid_of_axes, show

if TYPE_CHECKING:
    from matplotlib.figure import Figure


def plot_reconstructions(
    images: Any, reconstructions: Any, titles: Sequence | None = None
) -> "Figure":
    """Draws each image, and under the image its reconstruction.

    Args:
        images: Array `(batch, height, width, channels)`, in [0, 1].
        reconstructions: Array of the same shape, such as the output `reconstruction` of
            `explained_model`.
        titles: Strings, one for each image, or `None`, the default.

    Returns:
        A `matplotlib.figure.Figure`, to save by `figure.savefig`.

    Raises:
        ImportError: If matplotlib is missing.

    Example:

    >>> model = keras_capsules.create_model("efficient_capsnet", "mnist", with_decoder=True)
    >>> digits = keras_capsules.models.examples("efficient_capsnet", "mnist")["image"][:3]
    >>> explained = keras_capsules.explain.explained_model(model, ["reconstruction"])
    >>> drawn = keras.ops.convert_to_numpy(explained(digits)["reconstruction"])
    >>> figure = keras_capsules.explain.plot_reconstructions(digits, drawn)
    >>> len(figure.axes)
    6
    """
    figure, axes = grid_of_axes(2, len(images))
    axes[0, 0].set_ylabel("input")
    axes[1, 0].set_ylabel("drawn")
    for column, pair in enumerate(zip(images, reconstructions, strict=True)):
        for row, image in enumerate(pair):
            show(axes[row, column], image)
        if titles is not None:
            axes[0, column].set_title(str(titles[column]), fontsize="medium")
    return figure
