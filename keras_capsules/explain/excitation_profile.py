"""Shows how the gates of squeeze-and-excitation differ between classes."""

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, NamedTuple

import keras
import numpy as np

from keras_capsules.attention.gated_layer import GatedLayer
from keras_capsules.explain._figures import new_figure
from keras_capsules.explain._recording import recorded_copy

if TYPE_CHECKING:
    from matplotlib.figure import Figure


class ExcitationProfile(NamedTuple):
    """Gates by class, each a dictionary of arrays by the layer's name, in the model's order.

    Attributes:
        classes: Array of labels, one for each row below.
        mean: Mean gates of the images of a class, `(classes, channels)`.
        deviation: Their standard deviation within the class (over `n`), `(classes, channels)`.
        overall: Mean over the classes, each counting the same, `(channels,)`.
    """

    classes: np.ndarray
    mean: dict[str, np.ndarray]
    deviation: dict[str, np.ndarray]
    overall: dict[str, np.ndarray]


def excitation_profile(
    model: keras.Model,
    dataset: Any,
    classes: Sequence | None = None,
    layers: Sequence[str] | None = None,
    batch_size: int = 32,
) -> ExcitationProfile:
    """Computes the mean gate of each channel for each class, and its spread within the class.

    Early blocks usually gate all classes alike and late ones each class differently; a block whose
    gates are all near one could be left out.

    Args:
        model: Functional or sequential `keras.Model`, of the zoo, of `insert_attention` or of your
            own, with layers that have one gate for each channel: `SqueezeExcitation`,
            `EffectiveSqueezeExcitation`, `EfficientChannelAttention`, `StyleRecalibration`,
            `GatherExcite` of the global extent, and the channels' half of
            `ConcurrentSqueezeExcitation` and `ConvBlockAttention`. It is not changed.
        dataset: Pair `(x, y)` of inputs as `model.predict` takes them and labels, integers
            `(batch,)` or `(batch, 1)`, or one-hot; or a dataset of such batches, as `model.fit`
            takes it.
        classes: Labels to profile, or `None`, the default, for all that occur.
        layers: Names of such layers, or `None`, the default, for all.
        batch_size: Integer, for a pair of arrays. Defaults to `32`.

    Returns:
        An `ExcitationProfile`.

    Raises:
        ValueError: If the model has no such layers, if one of `layers` is not such a layer, if
            there is not one label for each input, or if one of `classes` does not occur.

    Example:

    >>> model = keras_capsules.create_model("se_resnet20", filters=(4, 8), blocks=1)
    >>> x = np.random.default_rng(0).random((6, 32, 32, 3))
    >>> profile = keras_capsules.explain.excitation_profile(model, (x, [0, 0, 0, 1, 1, 7]))
    >>> profile.classes.tolist(), list(profile.mean)
    ([0, 1, 7], ['stage_1_block_1_se', 'stage_2_block_1_se'])
    >>> profile.mean["stage_2_block_1_se"].shape
    (3, 8)

    Reference:
        Hu, Shen, Albanie, Sun, Wu, 2018, arXiv 1709.01507, figures 6 and 7 of its version 4.
    """
    gates, y = _gates(_gates_model(model, layers), dataset, batch_size)
    known = np.unique(y)
    chosen = known if classes is None else np.asarray(classes)
    if not np.isin(chosen, known).all():
        raise ValueError(
            f"The dataset must hold each of the classes. It holds {known.tolist()}. "
            f"Received: classes={chosen.tolist()}"
        )
    mean = {name: np.stack([g[y == c].mean(0) for c in chosen]) for name, g in gates.items()}
    deviation = {name: np.stack([g[y == c].std(0) for c in chosen]) for name, g in gates.items()}
    overall = {name: by_class.mean(0) for name, by_class in mean.items()}
    return ExcitationProfile(chosen, mean, deviation, overall)


def plot_excitation_profile(
    model: keras.Model, dataset: Any, deviation: bool = False, **options: Any
) -> "Figure":
    """Draws the mean gates over the channels, one axes for each layer and one line for each class.

    Args:
        model: As in `excitation_profile`.
        dataset: As there.
        deviation: Boolean. Whether to shade one standard deviation within the class around each
            line. Defaults to `False`.
        **options: Further arguments of `excitation_profile`, by name.

    Returns:
        A `matplotlib.figure.Figure`, to save by `figure.savefig`.

    Raises:
        ImportError: If matplotlib is missing.

    Example:

    >>> model = keras_capsules.create_model("se_resnet20", filters=(4, 8), blocks=1)
    >>> x = np.random.default_rng(0).random((4, 32, 32, 3))
    >>> figure = keras_capsules.explain.plot_excitation_profile(model, (x, [0, 0, 1, 1]))
    >>> len(figure.axes)
    2
    """
    profile = excitation_profile(model, dataset, **options)
    count = len(profile.mean)
    columns = min(count, 3)
    rows = -(-count // columns)
    figure = new_figure(4 * columns, 3 * rows)
    from matplotlib.ticker import MaxNLocator

    for number, (name, means) in enumerate(profile.mean.items(), start=1):
        axes = figure.add_subplot(rows, columns, number, title=name, xlabel="channel")
        axes.set(ylabel="mean gate")
        axes.xaxis.set_major_locator(MaxNLocator(integer=True))
        channels = np.arange(means.shape[1])
        for label, line, spread in zip(
            profile.classes, means, profile.deviation[name], strict=True
        ):
            axes.plot(channels, line, linewidth=1, label=str(label))
            if deviation:
                axes.fill_between(channels, line - spread, line + spread, alpha=0.2)
        axes.plot(channels, profile.overall[name], "k--", linewidth=1, label="all")
    figure.axes[0].legend(title="class", fontsize="small")
    return figure


def _gates_model(model: keras.Model, names: Sequence[str] | None) -> keras.Model:
    """Returns a model of the gates of channels, `(batch, channels)` by the layer's name."""
    copy, recording = recorded_copy(model)
    known = [
        layer.name
        for layer in copy.layers
        if isinstance(layer, GatedLayer) and layer.has_channel_gates()
    ]
    unknown = set(names or ()) - set(known)
    if unknown or not known:
        raise ValueError(
            "`layers` must name layers with one gate for each channel. "
            f"{model.name!r} has {known}. Received: layers={names}"
        )
    gates = {
        name: keras.tree.flatten(recording.gates[name])[0]
        for name in known
        if names is None or name in names
    }
    # All inputs, because the dataset has what the model takes.
    return keras.Model(copy.input, gates)


def _gates(
    with_gates: keras.Model, dataset: Any, batch_size: int
) -> tuple[dict[str, np.ndarray], np.ndarray]:
    """Computes the gates `(inputs, channels)` by the layer's name, and the labels."""
    if _is_pair(dataset):
        x, y = dataset
        gates, y = with_gates.predict(x, batch_size=batch_size, verbose=0), _labels(y)
    else:
        size = range(len(dataset)) if isinstance(dataset, keras.utils.PyDataset) else None
        batches = dataset if size is None else (dataset[index] for index in size)
        parts = [(with_gates.predict_on_batch(x), _labels(y)) for x, y, *_ in batches]
        gates = keras.tree.map_structure(lambda *x: np.concatenate(x), *(part[0] for part in parts))
        y = np.concatenate([part[1] for part in parts])
    count = len(next(iter(gates.values())))
    if y.shape != (count,):
        raise ValueError(
            f"There must be one label for each of {count} inputs. "
            f"Received: labels of shape {y.shape}"
        )
    return {name: array.astype("float64") for name, array in gates.items()}, y


def _is_pair(dataset: Any) -> bool:
    """Whether these are inputs and labels, and not a list of two batches."""
    two = isinstance(dataset, (tuple, list)) and len(dataset) == 2
    return two and not isinstance(dataset[0], tuple)


def _labels(y: Any) -> np.ndarray:
    """Returns integer labels, of integer or one-hot ones."""
    y = keras.ops.convert_to_numpy(y)
    if y.ndim == 2 and y.shape[1] > 1:
        return y.argmax(axis=1)
    y = y[:, 0] if y.shape[1:] == (1,) else y
    if y.ndim != 1 or not np.issubdtype(y.dtype, np.integer):
        raise ValueError(
            "Labels must be integers (inputs,) or (inputs, 1), or one-hot (inputs, classes). "
            f"Received: labels of shape {y.shape} and dtype {y.dtype}"
        )
    return y
