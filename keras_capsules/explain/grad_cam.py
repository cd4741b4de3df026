"""Computes Grad-CAM, a map that needs no capsules, for comparison."""

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import keras
import numpy as np
from keras import ops

from keras_capsules._gradients import gradient
from keras_capsules._graph import calls
from keras_capsules.explain._figures import plot_maps
from keras_capsules.explain._pixel_shares import is_located, spread
from keras_capsules.explain._recording import (
    check_one_input,
    class_indices,
    recorded_copy,
    submodel,
)
from keras_capsules.explain.explained_model import available

if TYPE_CHECKING:
    from matplotlib.figure import Figure


def grad_cam(
    model: keras.Model,
    images: Any,
    layer: str | None = None,
    class_index: int | Sequence[int] | None = None,
    batch_size: int = 32,
) -> np.ndarray:
    """Computes Grad-CAM: the channels of a feature map, weighted by the gradient of a score.

    `map = relu(sum_c mean_p(d score / d features_pc) * features_pc)`, brought to the pixels as
    `coupling_map` is: each cell divided evenly among what it sees. The score of a class in a map of
    pixels is the sum of its scores at the pixels that the model gives it.

    Args:
        model: Functional or sequential `keras.Model` with `scores`, or with one output. It is not
            changed.
        images: Array `(batch, height, width, channels)`, `(batch, length, channels)` of signals
            or `(batch, length)` of tokens, as the model takes them.
        layer: Name of the layer whose output, `(batch, height, width, channels)` or
            `(batch, length, channels)`, is explained, or `None`, the default, for the last one
            with such an output that lies over the input. A grid of capsules has its types and
            components as channels, and is the default where there are no other maps.
        class_index: Integer, or one for each image, or `None`, the default, for the highest score.
            A model that labels pixels needs it.
        batch_size: Integer. Defaults to `32`.

    Returns:
        Array `(batch, height, width)` or `(batch, length)`, not negative.

    Raises:
        ValueError: If there is no such layer, `class_index` does not fit, or a model that labels
            pixels has none.

    Example:

    >>> model = keras_capsules.create_model("cnn_baseline", size="tiny")
    >>> keras_capsules.explain.grad_cam(model, np.ones((2, 28, 28, 1))).shape
    (2, 28, 28)

    Reference:
        Selvaraju et al., 2017, arXiv 1610.02391.
        Vinogradova, Dibrov, Myers, 2020, arXiv 2002.11434 (of pixels).
    """
    images = np.asarray(images, dtype="float32")
    copy, recording = recorded_copy(model, images=images)
    scores = available(copy, recording, None).get("scores")
    grid = 2 if images.ndim == 4 else 1
    maps = {}
    if scores is not None:
        maps = _feature_maps(submodel(copy, scores), grid + 3)
        maps |= _feature_maps(submodel(copy, scores), grid + 2)
    located = (name for name in reversed(maps) if is_located(maps[name], grid))
    name = layer or next(located, None)
    if scores is None or name not in maps:
        raise ValueError(
            "Grad-CAM needs one output, or one called `scores`, and a layer that makes a feature "
            "map (batch, height, width, channels), or (batch, length, channels) of a sequence. "
            f"{model.name!r} has {list(maps)}. "
            f"Received: layer={layer!r}"
        )
    check_one_input(copy, scores)
    below = submodel(copy, maps[name])
    above = keras.Model(maps[name], scores)
    features = below.predict(images, batch_size=batch_size, verbose=0)
    found = above.predict(features, batch_size=batch_size, verbose=0)
    chosen = _chosen(found, class_index)
    weighted = []
    for start in range(0, len(images), batch_size):
        part = slice(start, start + batch_size)
        slopes = _gradient(above, features[part], chosen[part]).astype("float32")
        weights = slopes.mean(axis=tuple(range(1, 1 + grid)), keepdims=True)
        channels = tuple(range(1 + grid, slopes.ndim))
        weighted.append(np.maximum((weights * features[part]).sum(axis=channels), 0))
    return ops.convert_to_numpy(spread(np.concatenate(weighted), maps[name]))


def plot_grad_cam(
    model: keras.Model, inputs: Any, titles: Sequence | None = None, **options: Any
) -> "Figure":
    """Draws inputs with their Grad-CAM, as `plot_coupling_map` does.

    Args:
        model: As in `grad_cam`.
        inputs: Its images, signals or tokens.
        titles: Strings, one for each input, or `None`, the default.
        **options: Further arguments of `grad_cam`, by name.

    Returns:
        A `matplotlib.figure.Figure`, to save by `figure.savefig`.

    Raises:
        ImportError: If matplotlib is missing.

    Example:

    >>> model = keras_capsules.create_model("cnn_baseline", size="tiny")
    >>> images = np.random.default_rng(0).random((2, 28, 28, 1))
    >>> len(keras_capsules.explain.plot_grad_cam(model, images).axes)
    4
    """
    return plot_maps(inputs, grad_cam(model, inputs, **options), titles)


def _chosen(scores: np.ndarray, class_index: int | Sequence[int] | None) -> np.ndarray:
    """Returns ones in the shape of the scores where one is explained, and zeros elsewhere."""
    if class_index is None and scores.ndim > 2:
        raise ValueError(
            f"The model labels pixels, in {scores.shape[-1]} classes. Say by `class_index` "
            "which class is to be explained. Received: class_index=None"
        )
    of_images = scores if scores.ndim == 2 else scores.max(axis=(1, 2))
    classes = class_indices(class_index, of_images)
    chosen = np.eye(scores.shape[-1], dtype="float32")[classes]
    if scores.ndim == 2:
        return chosen
    one = scores.shape[-1] == 1
    given = scores >= 0.5 if one else np.eye(scores.shape[-1])[scores.argmax(axis=-1)]
    return (given * np.expand_dims(chosen, (1, 2))).astype("float32")


def _feature_maps(model: keras.Model, rank: int) -> dict[str, keras.KerasTensor]:
    """Returns the outputs of this rank, by the layer's name, of the layers that are called once.

    The output of the model is not one of them.
    """
    once = [
        layer
        for layer in model.layers
        if len(calls(layer)) == 1 and not isinstance(layer, keras.layers.InputLayer)
    ]
    # Attention layers also return their gates, after the feature map.
    outputs = {layer.name: calls(layer)[0].outputs[0] for layer in once}
    return {
        name: output
        for name, output in outputs.items()
        if len(output.shape) == rank and output is not model.output
    }


def _gradient(model: keras.Model, x: np.ndarray, chosen: np.ndarray) -> np.ndarray:
    """Computes the gradient of `sum(model(x) * chosen)` at `x`."""
    chosen = ops.convert_to_tensor(chosen)
    return gradient(lambda x: ops.sum(ops.cast(model(x, training=False), "float32") * chosen), x)
