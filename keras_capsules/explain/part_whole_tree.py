"""Follows the couplings from a capsule down to its parts, which gives a tree."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import keras
import numpy as np

from keras_capsules._graph import producer
from keras_capsules.explain._figures import new_figure
from keras_capsules.explain._recording import Capsules, class_indices, recorded_copy, submodel
from keras_capsules.layers import CapsuleLength
from keras_capsules.layers.voting import split_pair

if TYPE_CHECKING:
    from matplotlib.figure import Figure


@dataclass(frozen=True)
class Part:
    """Capsule with the capsules that it consists of.

    Attributes:
        layer: String. Name of the layer that made the capsule.
        index: Integer. Its number there; on a grid, of the flattened grid.
        activation: Float. Its length, or explicit activation.
        coupling: Float. The share of its vote that its parent received; 1 at the root.
        parts: Tuple of `Part`, the strongest first; empty at the lowest capsules.
    """

    layer: str
    index: int
    activation: float
    coupling: float
    parts: tuple["Part", ...]


def part_whole_tree(
    model: keras.Model,
    inputs: Any,
    strongest: int = 3,
    class_index: int | Sequence[int] | None = None,
    batch_size: int = 32,
) -> Part | list[Part]:
    """Follows the couplings from the winning capsule down, each time to the strongest children.

    The strength of child i for parent j is `coupling_ij * activation_i`. How much of a parent its
    children in the tree explain differs with the routing: look at the couplings, which may be near
    uniform, before you read parts into a tree.

    Args:
        model: Functional or sequential `keras.Model` with one or more `CapsuleLayer`s on top of
            each other. It is not changed.
        inputs: Array of inputs as the model takes them, such as `(batch, height, width,
            channels)`, or one of them, without the axis of the batch.
        strongest: Integer. Children to keep of each capsule. Defaults to `3`.
        class_index: Integer, or one for each input, of the capsules of the last layer to start
            from; or `None`, the default, for the most active.
        batch_size: Integer. Defaults to `32`.

    Returns:
        The `Part` of the last layer: a list with one for each input, or the one of one input.

    Raises:
        ValueError: If the model has no capsule layer, or `class_index` does not fit.

    Example:

    >>> model = keras_capsules.create_model("efficient_capsnet", weights="mnist")
    >>> digit = keras_capsules.models.examples("efficient_capsnet", "mnist")["image"][0]
    >>> tree = keras_capsules.explain.part_whole_tree(model, digit)
    >>> tree.layer, tree.index, [part.layer for part in tree.parts]
    ('class_capsules', 7, ['primary_capsules', 'primary_capsules', 'primary_capsules'])

    Reference:
        After Sabour, Frosst, Hinton, 2017, arXiv 1710.09829, section 1, "something like a parse
        tree is carved out"; and Mitterreiter, Koch, Giesen, Laue, 2023, arXiv 2301.01583, who
        found none.
    """
    inputs = np.asarray(inputs)
    single = inputs.ndim < len(model.inputs[0].shape)
    inputs = inputs[None] if single else inputs
    copy, recording = recorded_copy(model, images=inputs)
    chain = _chain(recording.capsules)
    if not chain:
        raise ValueError(f"The model must have a CapsuleLayer. Received: {model.name!r}")
    tensors = [(c.activations, c.coupling) for c in chain]
    name, lowest = _children(chain[-1])
    explained = submodel(copy, {"levels": tensors, "lowest": lowest})
    found = explained.predict(inputs, batch_size=batch_size, verbose=0)
    names = [capsules.layer.name for capsules in chain] + [name]
    activations = [level[0] for level in found["levels"]]
    activations.append(found["lowest"].reshape(len(inputs), -1))
    couplings = [level[1] for level in found["levels"]]
    roots = class_indices(class_index, activations[0])
    trees = [
        _tree(names, [a[n] for a in activations], [c[n] for c in couplings], root, strongest)
        for n, root in enumerate(roots)
    ]
    return trees[0] if single else trees


def _tree(
    names: list[str],
    activations: list[np.ndarray],
    couplings: list[np.ndarray],
    root: int,
    strongest: int,
) -> Part:
    """Makes the tree of one input from what each level holds, the last layer first."""

    def part(level: int, index: int, coupling: float) -> Part:
        parts = ()
        if level < len(couplings):
            shares = couplings[level][:, index]
            order = np.argsort(-shares * activations[level + 1], kind="stable")[:strongest]
            parts = tuple(part(level + 1, int(i), float(shares[i])) for i in order)
        return Part(names[level], index, float(activations[level][index]), coupling, parts)

    return part(0, int(root), 1.0)


def plot_part_whole_tree(model: keras.Model, inputs: Any, **options: Any) -> "Figure":
    """Draws trees: a line is as wide as the coupling, a capsule as dark as its activation.

    Args:
        model: As in `part_whole_tree`.
        inputs: As there, a batch or one input.
        **options: Further arguments of `part_whole_tree`, by name.

    Returns:
        A `matplotlib.figure.Figure`, to save by `figure.savefig`, with one axes for each input.

    Raises:
        ImportError: If matplotlib is missing.

    Example:

    >>> model = keras_capsules.create_model("efficient_capsnet", weights="mnist")
    >>> digit = keras_capsules.models.examples("efficient_capsnet", "mnist")["image"][0]
    >>> figure = keras_capsules.explain.plot_part_whole_tree(model, digit)
    >>> len(figure.axes[0].texts)  # Of 4 capsules and 3 couplings.
    7
    """
    trees = part_whole_tree(model, inputs, **options)
    all_levels = [_levels(tree) for tree in (trees if isinstance(trees, list) else [trees])]
    width = max(len(level) for levels in all_levels for level in levels)
    figure = new_figure(2.4 + 0.9 * width, 1.5 * sum(map(len, all_levels)))
    axes = figure.subplots(len(all_levels), 1, squeeze=False)[:, 0]
    for one, levels in zip(axes, all_levels, strict=True):
        _draw(one, levels)
    return figure


def _levels(tree: Part) -> list[list[tuple]]:
    """Returns the parts of each level with their parent's x and their own x, from 0 to 1."""
    levels: list[list[tuple]] = [[(tree, None, 0.5)]]
    while any(part.parts for part, _, _ in levels[-1]):
        parts = [(child, x) for part, _, x in levels[-1] for child in part.parts]
        levels.append([(c, up, (n + 0.5) / len(parts)) for n, (c, up) in enumerate(parts)])
    return levels


def _draw(axes: Any, levels: list[list[tuple]]) -> None:
    axes.set(xlim=(-0.02, 1), ylim=(0.5 - len(levels), 0.5), xticks=[])
    axes.set_yticks(-np.arange(len(levels)), [level[0][0].layer for level in levels])
    axes.tick_params(length=0)
    axes.spines[:].set_visible(False)
    for depth, level in enumerate(levels):
        for part, parent_x, x in level:
            shade = min(max(part.activation, 0.0), 1.0)
            axes.text(
                x,
                -depth,
                f"{part.index}\n{part.activation:.2f}",
                ha="center",
                va="center",
                color="white" if shade > 0.6 else "black",
                bbox={"boxstyle": "round", "facecolor": str(1 - 0.8 * shade), "edgecolor": "grey"},
            )
            if parent_x is not None:
                width = 0.5 + 6 * max(part.coupling, 0.0)
                axes.plot([parent_x, x], [1 - depth, -depth], "C0", linewidth=width, zorder=0)
                axes.text(
                    (parent_x + x) / 2,
                    0.5 - depth,
                    f"{part.coupling:.2f}",
                    fontsize="small",
                    ha="center",
                    bbox={"boxstyle": "round,pad=0.1", "facecolor": "white", "edgecolor": "none"},
                )


def _chain(all_capsules: dict[str, Capsules]) -> list[Capsules]:
    """Returns the capsule layers from the last one down, as far as each is made of the next."""
    chain = [next(reversed(all_capsules.values()))] if all_capsules else []
    while chain:
        children, _ = split_pair(chain[-1].inputs)
        name = _maker(children).name
        if name not in all_capsules:
            break
        chain.append(all_capsules[name])
    return chain


def _children(capsules: Capsules) -> tuple[str, Any]:
    """Returns the name of the layer that made the children of a layer, and their activations."""
    children, activations = split_pair(capsules.inputs)
    if activations is None:
        activations = CapsuleLength()(children)
    return _maker(children).name, activations


def _maker(poses: keras.KerasTensor) -> Any:
    """Returns the layer that made some capsules, before any reshaping."""
    call = producer(poses)
    while isinstance(call.operation, (keras.layers.Reshape, keras.layers.Dropout)):
        call = producer(call.inputs[0])
    return call.operation
