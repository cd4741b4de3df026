"""Loads two networks of Keras 2: Efficient-CapsNet of its authors, and CapsNet-Keras.

Keras numbers layers by the run, such as `conv2d_7/kernel:0`, so layers are told apart by what
weights they have, and counted in the order of the file.
"""

from typing import Any

import keras
import numpy as np

from keras_capsules.models.capsnet import capsnet
from keras_capsules.models.efficient_capsnet import efficient_capsnet
from keras_capsules.models.foreign.arrays import ForeignArrays, check_shape
from keras_capsules.models.foreign.votes import load_foreign_layer


def load_efficient_capsnet(arrays: dict[str, np.ndarray], **sizes: Any) -> keras.Model:
    """Loads the weights of Efficient-CapsNet's authors, for MNIST or MultiMNIST."""
    model = efficient_capsnet(**sizes)
    weights = _numbered(arrays, "EscVM/Efficient-CapsNet")
    normalizations = [layer.name for layer in model.layers if "normalization" in layer.name]
    for number, name in enumerate(normalizations, start=1):
        _copy(weights, f"convolution {number}", model.get_layer(f"convolution_{number}"))
        _copy(
            weights,
            f"normalization {number}",
            model.get_layer(name),
            ("gamma", "beta", "moving_mean", "moving_variance"),
        )
    _copy_depthwise(
        weights, f"convolution {len(normalizations) + 1}", model.get_layer("primary_capsules")
    )
    layer = model.get_layer("class_capsules")
    children, parents, size, out = layer.kernel.shape
    kernel = weights.take("capsules 1/W", (parents, children, size, out))
    load_foreign_layer(layer, kernel, "parents children in out")
    prior = weights.take("capsules 1/b", (parents, children, 1))
    layer.routing.prior.assign(prior[..., 0].T)
    return _with_decoder(model, weights)


def load_capsnet_keras(arrays: dict[str, np.ndarray], **sizes: Any) -> keras.Model:
    """Loads the weights of CapsNet-Keras."""
    model = capsnet(**sizes)
    weights = _numbered(arrays, "XifengGuo/CapsNet-Keras")
    _copy(weights, "convolution 1", model.get_layer("convolution"))
    _copy(weights, "convolution 2", model.get_layer("primary_capsules").convolution)
    layer = model.get_layer("class_capsules")
    children, parents, size, out = layer.kernel.shape
    kernel = weights.take("capsules 1/W", (parents, children, out, size))
    load_foreign_layer(layer, kernel, "parents children out in")
    return _with_decoder(model, weights)


def _numbered(arrays, source):
    """Renames weights, such as `conv2d_7/kernel:0` to `convolution 1/kernel`."""
    layers: dict[str, dict[str, np.ndarray]] = {}
    for name, array in arrays.items():
        layer, _, weight = name.removesuffix(":0").rpartition("/")
        layers.setdefault(layer, {})[weight] = np.asarray(array)
    counts: dict[str, int] = {}
    renamed = {}
    for weights in layers.values():
        kind = _kind(weights)
        counts[kind] = counts.get(kind, 0) + 1
        renamed |= {f"{kind} {counts[kind]}/{name}": array for name, array in weights.items()}
    return ForeignArrays(renamed, source)


def _kind(weights):
    if "W" in weights:
        return "capsules"
    if "gamma" in weights:
        return "normalization"
    return "dense" if weights.get("kernel", np.zeros(())).ndim == 2 else "convolution"


def _copy(weights, name, layer, names=("kernel", "bias")):
    """Copies weights of the same shape as ours."""
    for weight in names:
        variable = getattr(layer, weight)
        variable.assign(weights.take(f"{name}/{weight}", tuple(variable.shape)))


def _copy_depthwise(weights, name, layer):
    """Copies the primary capsules' convolution, of one group for each channel.

    For MultiMNIST the authors' window of 5 x 5 has stride 2 and stands once on a map of 6 x 6. Ours
    covers the map, with zeros where theirs does not reach.
    """
    height, width, channels, _ = layer.convolution.kernel.shape
    kernel = weights.take(f"{name}/kernel", (None, None, 1, channels))
    below, beside = height - kernel.shape[0], width - kernel.shape[1]
    if {below, beside} - {0, 1}:
        check_shape(weights.source, f"{name}/kernel", kernel, (height, width, 1, channels))
    kernel = np.pad(kernel, ((0, below), (0, beside), (0, 0), (0, 0))).transpose(0, 1, 3, 2)
    layer.convolution.set_weights([kernel, weights.take(f"{name}/bias", (channels,))])


def _with_decoder(model, weights):
    """Copies the decoder's weights if the model has one, and leaves them out otherwise."""
    if isinstance(model.output, dict):
        for number, layer in enumerate(model.get_layer("reconstruction").dense_layers, start=1):
            _copy(weights, f"dense {number}", layer)
    else:
        weights.taken |= {name for name in weights.arrays if name.startswith("dense")}
    weights.finish()
    return model
