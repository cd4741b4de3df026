"""A residual block, and what an insertion into it added and kept."""

import keras
import numpy as np
from keras import layers


def residual(shortcut_first=True, shortcut="projection"):
    """A stem and a residual block."""
    image = keras.Input((6, 6, 3), name="image")
    stem = x = layers.Conv2D(4, 3, padding="same", name="stem")(image)
    for part in ("a", "b"):
        x = layers.Conv2D(4, 3, padding="same", name=part)(x)
        x = layers.BatchNormalization(name=f"{part}_bn")(x)
    if shortcut == "projection":
        stem = layers.Conv2D(4, 1, name="shortcut")(stem)
        stem = layers.BatchNormalization(name="shortcut_bn")(stem)
    inputs = [stem, x] if shortcut_first else [x, stem]
    x = layers.Add(name="add")(inputs)
    return keras.Model(image, layers.ReLU(name="relu")(x), name="residual")


def inserted(model, copy):
    """Names of the layers that the copy has and the model has not."""
    names = {layer.name for layer in model.layers}
    assert names <= {layer.name for layer in copy.layers}
    return [layer.name for layer in copy.layers if layer.name not in names]


def inputs_of(layer):
    """The layers whose outputs a layer takes, from the saved form of the graph."""
    return [x["config"]["keras_history"][0] for x in _keras_tensors(layer)]


def _keras_tensors(node):
    if isinstance(node, dict):
        found = [node] if node.get("class_name") == "__keras_tensor__" else []
        return found + [x for value in node.values() for x in _keras_tensors(value)]
    if isinstance(node, (list, tuple)):
        return [x for value in node for x in _keras_tensors(value)]
    return []


def edges(model):
    return {
        layer["name"]: inputs_of(layer["inbound_nodes"]) for layer in model.get_config()["layers"]
    }


def assert_kept(model, copy):
    for layer in model.layers:
        again = copy.get_layer(layer.name)
        assert again is not layer and again.trainable == layer.trainable
        for old, new in zip(layer.get_weights(), again.get_weights(), strict=True):
            np.testing.assert_array_equal(old, new)


def perturb(layer, generator):
    for weight in layer.weights:
        weight.assign(weight + generator.uniform(0.01, 0.2, size=weight.shape))
