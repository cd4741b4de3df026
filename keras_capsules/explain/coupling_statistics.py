"""Measures over a dataset how much the routing of a trained model divides and adapts."""

from collections.abc import Iterator
from typing import TYPE_CHECKING, Any, NamedTuple

import keras
import numpy as np

from keras_capsules.explain._figures import new_figure
from keras_capsules.explain._recording import Capsules, recorded_copy, submodel
from keras_capsules.layers.voting import split_pair
from keras_capsules.metrics import CouplingEntropy, CouplingVariance, DeadCapsuleRate

if TYPE_CHECKING:
    from matplotlib.figure import Figure


class CouplingStatistics(NamedTuple):
    """Measures of a capsule layer's routing over a dataset.

    Attributes:
        entropy: Float, of `CouplingEntropy`: 1 where every child divides its vote evenly, 0 where
            each gives it to one parent. It uses the magnitude of the coupling, which has no fixed
            sign with `self_attention`.
        variance: Float, of `CouplingVariance`: 0 where the coupling does not depend on the input.
        dead_children: Float, of `DeadCapsuleRate`: the share of children that no input activated.
        dead_parents: Float: the share of parents that no input activated.
    """

    entropy: float
    variance: float
    dead_children: float
    dead_parents: float


def coupling_statistics(
    model: keras.Model, dataset: Any, batch_size: int = 32, threshold: float = 0.01
) -> dict[str, CouplingStatistics]:
    """Measures the coupling and the dead capsules of each capsule layer.

    Args:
        model: Functional or sequential `keras.Model` with `CapsuleLayer`s. It is not changed.
        dataset: Array of inputs as the model takes them, or a dictionary of such arrays; or a
            dataset of batches, as `model.fit` takes it, whose labels are left out.
        batch_size: Integer, for arrays. Defaults to `32`.
        threshold: Float. As in `DeadCapsuleRate`. Defaults to `0.01`.

    Returns:
        Dictionary of `CouplingStatistics` by the layer's name, in the model's order.

    Raises:
        ValueError: If the model has no such layer.

    Example:

    >>> model = keras_capsules.create_model("efficient_capsnet", weights="mnist")
    >>> digits = keras_capsules.models.examples("efficient_capsnet", "mnist")["image"]
    >>> found = keras_capsules.explain.coupling_statistics(model, digits)
    >>> list(found), found["class_capsules"].dead_parents
    (['class_capsules'], 0.0)

    Reference:
        Mitterreiter, Koch, Giesen, Laue, 2023, arXiv 2301.01583.
    """
    copy, recording = recorded_copy(model)
    if not recording.capsules:
        raise ValueError(f"The model must have a CapsuleLayer. Received: {model.name!r}")
    seen = {name: _seen(capsules) for name, capsules in recording.capsules.items()}
    explained = submodel(copy, seen)
    metrics = {
        name: (
            CouplingEntropy(),
            CouplingVariance(),
            DeadCapsuleRate(threshold),
            DeadCapsuleRate(threshold),
        )
        for name in seen
    }
    for images in _batches(dataset, batch_size):
        found = explained.predict_on_batch(images)
        for name, (coupling, children, parents) in found.items():
            if split_pair(recording.capsules[name].inputs)[1] is not None:  # Activations.
                children = children.reshape(coupling.shape[:2])
            for metric, value in zip(
                metrics[name], (np.abs(coupling), coupling, children, parents), strict=True
            ):
                metric.update_state(value)
    return {
        name: CouplingStatistics(*(float(metric.result()) for metric in of_layer))
        for name, of_layer in metrics.items()
    }


def plot_coupling_statistics(model: keras.Model, dataset: Any, **options: Any) -> "Figure":
    """Draws the measures of each capsule layer, one axes for each measure.

    Args:
        model: As in `coupling_statistics`.
        dataset: As there.
        **options: Further arguments of `coupling_statistics`, by name.

    Returns:
        A `matplotlib.figure.Figure`, to save by `figure.savefig`.

    Raises:
        ImportError: If matplotlib is missing.

    Example:

    >>> model = keras_capsules.create_model("efficient_capsnet", weights="mnist")
    >>> digits = keras_capsules.models.examples("efficient_capsnet", "mnist")["image"]
    >>> len(keras_capsules.explain.plot_coupling_statistics(model, digits).axes)
    4
    """
    found = coupling_statistics(model, dataset, **options)
    measures = CouplingStatistics._fields
    figure = new_figure(2.5 * len(measures) + 1, 0.8 + 0.4 * len(found))
    for axes, measure in zip(figure.subplots(1, len(measures), sharey=True), measures, strict=True):
        values = [getattr(of_layer, measure) for of_layer in found.values()]
        bars = axes.barh(list(found), values)
        axes.bar_label(bars, fmt="%.3g", padding=2)
        axes.set(title=measure.replace("_", " "), xlim=(0, 1.4), xticks=[])
        axes.spines[["top", "right", "bottom"]].set_visible(False)
    figure.axes[0].invert_yaxis()
    return figure


def _seen(capsules: Capsules) -> tuple[Any, Any, Any]:
    """Returns the coupling, and the children's poses or activations, and the parents'."""
    children, activations = split_pair(capsules.inputs)
    children = children if activations is None else activations
    return capsules.coupling, children, capsules.activations


def _batches(dataset: Any, batch_size: int) -> Iterator[Any]:
    if hasattr(dataset, "shape") or isinstance(dataset, dict):
        arrays = keras.tree.map_structure(np.asarray, dataset)
        for start in range(0, len(keras.tree.flatten(arrays)[0]), batch_size):
            part = slice(start, start + batch_size)
            yield keras.tree.map_structure(lambda array, part=part: array[part], arrays)
        return
    sized = isinstance(dataset, keras.utils.PyDataset)
    for batch in (dataset[index] for index in range(len(dataset))) if sized else dataset:
        images = batch[0] if isinstance(batch, (tuple, list)) else batch
        yield images
