"""Loads weights that other code trained."""

from collections.abc import Mapping
from os import PathLike
from typing import Any

import keras

from keras_capsules.models.foreign.files import arrays_of
from keras_capsules.models.foreign.gram_ai import load_gram_ai
from keras_capsules.models.foreign.keras_networks import (
    load_capsnet_keras,
    load_efficient_capsnet,
)
from keras_capsules.models.foreign.timm import load_timm
from keras_capsules.models.foreign.votes import load_foreign_layer

__all__ = ["load_foreign", "load_foreign_layer"]

SOURCES = {
    "efficient_capsnet": load_efficient_capsnet,
    "capsnet_keras": load_capsnet_keras,
    "gram_ai": load_gram_ai,
    "timm": load_timm,
}


def load_foreign(
    source: str, weights: Mapping[str, Any] | str | PathLike, **arguments: Any
) -> keras.Model:
    """Loads weights from other code into a model of this library.

    Neither that code nor PyTorch is needed: weights are arrays by name. Outputs are the same to
    1e-5, except for what is named here as not carried over. docs/migration.md has the names.

    Args:
        source: String. The code that the weights come from.

            `"efficient_capsnet"`: EscVM/Efficient-CapsNet for MNIST, or for MultiMNIST with
            `input_shape=(36, 36, 1), strides=(1, 1, 2, 2)`, as `efficient_capsnet`. The authors'
            length has 1e-7 under its root: theirs is longer by 5e-8 over the length, so 3e-4 at
            zero. Poses have no such difference. The network for smallNORB has other layers and
            is refused.

            `"capsnet_keras"`: XifengGuo/CapsNet-Keras, as `capsnet`. The 1e-7 in the root of its
            squash is not carried over, a difference of at most 1e-7.

            `"gram_ai"`: gram-ai/capsule-networks, as `capsnet`. Its softmax runs over the children
            and not over the parents. This is not carried over: scores differ, unless `routing=` is
            a routing that does the same, as in docs/migration.md. Its squash is NaN at zero, and
            ours is not. Its second softmax, over the lengths, is left out.

            `"timm"`: `seresnet18`, 34, 50, 101 and 152 of timm, with sizes from the weights. The
            scores are probabilities, the softmax of timm's outputs. Variants with another stem,
            with groups or with pooled shortcuts are refused.
        weights: Mapping of names to arrays, such as a state dict on the CPU, or the path of a
            `.npz`, `.safetensors` or, for the first two, Keras 2's `.h5` file.
        **arguments: Arguments of the function that builds the model, such as `input_shape`,
            `num_classes` or `with_decoder=True`, for the weights of the decoder. With `"timm"`,
            `input_shape` and `name`.

    Returns:
        A functional `keras.Model` from `image` to `scores`, or with the decoder as the function
        describes.

    Raises:
        ValueError: If there is no such source, or if a weight is missing, left over or of another
            shape. The message names what was expected.

    Example:

    >>> arrays = {"conv1/kernel": np.zeros((3, 3, 1, 4)), "conv1/bias": np.zeros(4)}
    >>> arrays["primarycap_conv2d/kernel"] = np.zeros((3, 3, 4, 8))
    >>> arrays["primarycap_conv2d/bias"] = np.zeros(8)
    >>> arrays["digitcaps/W"] = np.zeros((5, 18, 6, 4))
    >>> sizes = {"input_shape": (9, 9, 1), "num_classes": 5, "filters": 4, "kernel_size": 3}
    >>> sizes |= {"primary_capsules": 2, "primary_dim": 4, "primary_kernel_size": 3}
    >>> load = keras_capsules.models.load_foreign
    >>> load("capsnet_keras", arrays, **sizes, capsule_dim=6).output_shape
    (None, 5)
    """
    if source not in SOURCES:
        raise ValueError(
            f"`source` must be one of {', '.join(map(repr, SOURCES))}. For a layer of another code "
            f"there is `load_foreign_layer`. Received: source={source!r}"
        )
    return SOURCES[source](dict(arrays_of(weights)), **arguments)
