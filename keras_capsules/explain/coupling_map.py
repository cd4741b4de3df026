"""Maps the parts of an image that speak for a class, by means of the routing."""

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import keras
import numpy as np

from keras_capsules.explain._evidence import evidence_map
from keras_capsules.explain._figures import plot_maps
from keras_capsules.explain._recording import (
    check_one_input,
    class_indices,
    recorded_copy,
    submodel,
)

if TYPE_CHECKING:
    from matplotlib.figure import Figure


def coupling_map(
    model: keras.Model,
    images: Any,
    class_index: int | Sequence[int] | None = None,
    layer: str | None = None,
    batch_size: int = 32,
    division: str = "content",
) -> np.ndarray:
    """Computes how much of a class's score each part of an image accounts for.

    A parent's pose is a sum of its children's votes, weighted by their coupling and shortened by
    the squash, and a primary capsule's pose is a sum over the cells of the feature map below it,
    also shortened. So the length of the parent divides exactly among these cells p, with the
    coupling and both shortenings as they were for this image:

    `length(v_j) = sum_p e_p + (what biases add)`,
    `e_p = sum_i c_ij * (f_i z_i(p)) @ kernel_ij . d_j * |v_j| / |s_j|`,

    with the direction `d_j = v_j / |v_j|`, `s_j = sum_i c_ij votes_ij`, and the primary capsule
    `u_i = f_i (sum_p z_i(p) + bias_i)`, `f_i = |u_i| / |z_i|`. A part counts by its presence, by
    the coupling of its capsule and by how far its vote agrees with the winning pose; a part that
    speaks against the class is negative.

    From the feature map to the pixels, `r_pq` says how much of cell p each pixel q is: the cell is
    divided evenly among what it sees, layer by layer. With `division="even"` these are the shares,
    and a map is as soft as the receptive field of the cells: 11 x 11 pixels for Efficient-CapsNet,
    9 x 9 for CapsNet. By default the shares also follow what the pixels hold,

    `m_q = sum_p e_p * r_pq w_q / sum_q' r_pq' w_q'`,
    `w_q = exp(12 plain**2 (d_q / max(d) - 1))`, `plain = mean_q(exp(-16 d_q**2 / variance))`,

    with the distance `d_q` of a pixel from the background, which is the commonest value of the
    picture. The sum stays. On plain paper the ink of a stroke gets nearly all of what its cells
    say, and a map is as fine as the picture. In a photograph, whose pixels have little in common,
    `plain` is small and the shares are about even. They are even for tokens, and for a model that
    takes several pictures.

    Capsule layers in between and gates of capsules are followed in the same way, with their
    coupling, gates and shortenings held fixed. In two cases the map is coarser or less exact:

    * the children do not come from a `PrimaryCapsule` but from a `ConvCapsule2D` or another
      grid: their cells, not those below them, are divided among what they see;
    * the explained layer has explicit activations or is a `ConvCapsule2D`: its poses are not a sum
      whose length is a score. Then child i counts as `coupling_ij * activation_i`, or as
      `coupling_ij` times its length. This is divided among the cells below a primary capsule by how
      far they agree with its pose.

    For `inverted_dot_product`, whose parents are normalized and not shortened, the sum is not the
    length. The map decomposes one forward pass. What would happen without a part, where the routing
    would divide the votes differently, is another question. `deletion_insertion` answers it.

    `trace_back` follows the capsules to a feature map; register other types of layers there.

    Args:
        model: Functional or sequential `keras.Model`, of the zoo or of your own, with capsules
            made of images or sequences, also inside nested models. It is not changed.
        images: Array `(batch, height, width, channels)`, `(batch, length, channels)` of signals
            or `(batch, length)` of tokens, as the model takes them.
        class_index: Integer, or one for each image, or `None`, the default, for the longest
            capsule, or most active one, of each.
        layer: Name of the layer to explain, as in `explained_model`; `None`, the default, for the
            last one.
        batch_size: Integer. Defaults to `32`.
        division: `"content"`, the default, or `"even"`: how a cell is divided among its pixels.

    Returns:
        Array `(batch, height, width)`, or `(batch, length)`: a weight for each step or token.

    Raises:
        ValueError: If the model has no such layer, or its capsules have no place in the image, or
            `class_index` or `division` does not fit.

    Example:

    >>> model = keras_capsules.create_model("efficient_capsnet", weights="mnist")
    >>> digits = keras_capsules.models.examples("efficient_capsnet", "mnist")["image"][:2]
    >>> maps = keras_capsules.explain.coupling_map(model, digits)
    >>> maps.shape
    (2, 28, 28)

    References:
        This library; after Ali et al., 2022, "XAI for Transformers: Better Explanations through
        Conservative Propagation", arXiv 2202.07304 (shares held fixed, as those of attention
        there), and Lapuschkin et al., 2017, arXiv 1708.07689 (even division below).
    """
    if division not in ("content", "even"):
        raise ValueError(f"`division` must be 'content' or 'even'. Received: division={division!r}")
    images = np.asarray(images, dtype="float32")
    copy, recording = recorded_copy(model, images=images)
    capsules = recording.capsules_of(layer)
    if capsules is None:
        raise ValueError(
            f"`layer` must be one of {list(recording.capsules)}, the capsule layers of "
            f"{model.name!r}. Received: layer={layer!r}"
        )
    check_one_input(copy, capsules.poses)
    count = capsules.activations.shape[1]
    label = keras.Input((count,), name="chosen_class") if class_index is not None else None
    evidence = evidence_map(capsules, recording.capsules, label, even=division == "even")
    if label is None:
        return submodel(copy, evidence).predict(images, batch_size=batch_size, verbose=0)
    labels = class_indices(class_index, np.zeros((len(images), count)))
    explained = submodel(copy, evidence, [label])
    inputs = dict.fromkeys(explained.input, images) | {"chosen_class": np.eye(count)[labels]}
    return explained.predict(inputs, batch_size=batch_size, verbose=0)


def plot_coupling_map(
    model: keras.Model, inputs: Any, titles: Sequence | None = None, **options: Any
) -> "Figure":
    """Draws inputs with their coupling maps: red for the class, blue against it.

    Images have the map below. Signals are curves over the colours of their steps, and tokens are
    numbers on them.

    Args:
        model: As in `coupling_map`.
        inputs: Its images, signals or tokens.
        titles: Strings, one for each input, or `None`, the default.
        **options: Further arguments of `coupling_map`, by name.

    Returns:
        A `matplotlib.figure.Figure`, to save by `figure.savefig`.

    Raises:
        ImportError: If matplotlib is missing.

    Example:

    >>> model = keras_capsules.create_model("efficient_capsnet", weights="mnist")
    >>> digits = keras_capsules.models.examples("efficient_capsnet", "mnist")["image"][:3]
    >>> figure = keras_capsules.explain.plot_coupling_map(model, digits, class_index=[7, 2, 1])
    >>> len(figure.axes)
    6
    """
    return plot_maps(inputs, coupling_map(model, inputs, **options), titles)
