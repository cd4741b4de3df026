"""Measures whether a map is true, by deleting and inserting the pixels that it names."""

from typing import TYPE_CHECKING, Any, NamedTuple

import keras
import numpy as np

from keras_capsules.explain._figures import new_figure
from keras_capsules.explain.explained_model import explained_model

if TYPE_CHECKING:
    from matplotlib.figure import Figure


class DeletionInsertion(NamedTuple):
    """Curves and their areas.

    Attributes:
        fractions: Array `(steps + 1,)`. Fractions of the pixels, from 0 to 1.
        deletion: Array `(batch, steps + 1)`. Score without the pixels that are highest in the map.
        insertion: Array `(batch, steps + 1)`. Score with these pixels alone.
        deletion_area: Array `(batch,)`. Area under the first curve, low for a good map.
        insertion_area: Array `(batch,)`. Area under the second curve, high for a good map.
    """

    fractions: np.ndarray
    deletion: np.ndarray
    insertion: np.ndarray
    deletion_area: np.ndarray
    insertion_area: np.ndarray


def deletion_insertion(
    model: keras.Model,
    images: Any,
    maps: Any,
    steps: int = 28,
    blank: float = 0.0,
    batch_size: int = 128,
) -> DeletionInsertion:
    """Deletes the pixels in the order of a map, highest first, and inserts them into a blank image.

    The score belongs to the class that the model gives the complete image. The model was not
    trained on images with deleted pixels, so compare the areas with those of `random_maps`.

    Args:
        model: Functional or sequential `keras.Model` with `scores`, or with one output.
        images: Array `(batch, height, width, channels)`, as the model takes them.
        maps: Array `(batch, height, width)`.
        steps: Integer. Number of equal parts into which the pixels are divided. Defaults to `28`.
        blank: Float. Value that replaces a pixel. Defaults to `0`.
        batch_size: Integer. Defaults to `128`.

    Returns:
        A `DeletionInsertion`.

    Raises:
        ValueError: If the maps do not have the images' size.

    Example:

    >>> model = keras_capsules.create_model("efficient_capsnet", weights="mnist")
    >>> digits = keras_capsules.models.examples("efficient_capsnet", "mnist")["image"][:2]
    >>> maps = keras_capsules.explain.coupling_map(model, digits)
    >>> found = keras_capsules.explain.deletion_insertion(model, digits, maps, steps=4)
    >>> found.deletion.shape, bool((found.deletion_area < found.insertion_area).all())
    ((2, 5), True)

    Reference:
        Petsiuk, Das, Saenko, 2018, "RISE", arXiv 1806.07421, section 4.2.
    """
    images, maps = np.asarray(images, dtype="float32"), np.asarray(maps)
    if maps.shape != images.shape[:3]:
        raise ValueError(
            f"There must be a map of {images.shape[1:3]} for each of {len(images)} images. "
            f"Received: maps.shape={maps.shape}"
        )
    with_scores = explained_model(model, ["scores"])

    def scores(x):
        return with_scores.predict(x, batch_size=batch_size, verbose=0)["scores"]

    rows = np.arange(len(images))
    label = scores(images).argmax(axis=1)
    pixels = maps[0].size
    order = np.argsort(-maps.reshape(len(maps), pixels), axis=1, kind="stable")
    rank = np.argsort(order, axis=1).reshape(maps.shape)[..., None]  # 0 for the highest.
    counts = np.linspace(0, pixels, steps + 1).round()
    deletion = [scores(np.where(rank < n, blank, images))[rows, label] for n in counts]
    insertion = [scores(np.where(rank < n, images, blank))[rows, label] for n in counts]
    deletion, insertion = np.stack(deletion, axis=1), np.stack(insertion, axis=1)
    fractions = counts / pixels
    areas = (_area(curve, fractions) for curve in (deletion, insertion))
    return DeletionInsertion(fractions, deletion, insertion, *areas)


def _area(curves, fractions):
    return ((curves[:, 1:] + curves[:, :-1]) / 2 * np.diff(fractions)).sum(axis=1)


def random_maps(images: Any, seed: int = 0) -> np.ndarray:
    """Returns random maps, uniform in [0, 1), for comparison.

    Args:
        images: Array `(batch, height, width, channels)`.
        seed: Integer. Defaults to `0`.

    Returns:
        Array `(batch, height, width)`.

    Example:

    >>> keras_capsules.explain.random_maps(np.zeros((2, 28, 28, 1))).shape
    (2, 28, 28)
    """
    return np.random.default_rng(seed).random(np.shape(images)[:3], dtype="float32")


def plot_deletion_insertion(curves: dict[str, DeletionInsertion]) -> "Figure":
    """Draws the mean curves of several kinds of maps.

    Args:
        curves: Dictionary of `DeletionInsertion` by the name of the kind.

    Returns:
        A `matplotlib.figure.Figure`, to save by `figure.savefig`.

    Raises:
        ImportError: If matplotlib is missing.

    Example:

    >>> model = keras_capsules.create_model("cnn_baseline", size="tiny")
    >>> images = np.random.default_rng(0).random((2, 28, 28, 1))
    >>> maps = keras_capsules.explain.random_maps(images)
    >>> found = keras_capsules.explain.deletion_insertion(model, images, maps, steps=2)
    >>> figure = keras_capsules.explain.plot_deletion_insertion({"random": found})
    >>> len(figure.axes)
    2
    """
    figure = new_figure(8, 3)
    for number, name in enumerate(("deletion", "insertion"), start=1):
        axes = figure.add_subplot(1, 2, number, title=name)
        axes.set(xlabel="share of the pixels", ylabel="score", ylim=(0, 1.02))
        for kind, found in curves.items():
            area = getattr(found, f"{name}_area").mean()
            curve = getattr(found, name).mean(axis=0)
            axes.plot(found.fractions, curve, label=f"{kind}, area {area:.2f}")
        axes.legend(fontsize="small")
    return figure
