"""Loads the CapsNet of gram-ai/capsule-networks, in PyTorch."""

from typing import Any

import keras
import numpy as np

from keras_capsules.models.capsnet import capsnet
from keras_capsules.models.foreign.arrays import ForeignArrays
from keras_capsules.models.foreign.votes import load_foreign_layer


def load_gram_ai(arrays: dict[str, np.ndarray], **sizes: Any) -> keras.Model:
    """Loads a state dict, in which each component of the primary poses has a convolution."""
    model = capsnet(**sizes)
    weights = ForeignArrays(arrays, "gram-ai/capsule-networks")
    layer = model.get_layer("convolution")
    layer.set_weights(_convolution(weights, "conv1", tuple(layer.kernel.shape)))
    layer = model.get_layer("primary_capsules")
    height, width, channels, _ = layer.convolution.kernel.shape
    shape = (height, width, channels, layer.num_capsules)
    parts = [
        _convolution(weights, f"primary_capsules.capsules.{component}", shape)
        for component in range(layer.capsule_dim)
    ]
    # Stacked last, so that the components of a pose are neighbours among the channels.
    kernel, bias = (np.stack(group, axis=-1) for group in zip(*parts, strict=True))
    layer.convolution.set_weights([kernel.reshape(height, width, channels, -1), bias.ravel()])
    grid = tuple(layer.output.shape[1:4])
    layer = model.get_layer("class_capsules")
    children, parents, size, out = layer.kernel.shape
    kernel = weights.take("digit_capsules.route_weights", (parents, children, size, out))
    load_foreign_layer(layer, kernel, "parents children in out", grid)
    _decoder(model, weights)
    weights.finish()
    return model


def _convolution(weights, name, shape):
    """Returns kernel and bias of a convolution whose kernel in Keras has this shape."""
    height, width, channels, filters = shape
    kernel = weights.take(f"{name}.weight", (filters, channels, height, width))
    return [kernel.transpose(2, 3, 1, 0), weights.take(f"{name}.bias", (filters,))]


def _decoder(model, weights):
    if not isinstance(model.output, dict):
        weights.taken |= {name for name in weights.arrays if name.startswith("decoder.")}
        return
    for number, layer in enumerate(model.get_layer("reconstruction").dense_layers):
        name, (size, width) = f"decoder.{2 * number}", layer.kernel.shape
        kernel = weights.take(f"{name}.weight", (width, size)).T
        layer.set_weights([kernel, weights.take(f"{name}.bias", (width,))])
