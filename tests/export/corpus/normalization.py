"""Layers that normalize."""

from keras import layers

from tests.export.corpus.registry import model, one_layer

IMAGE = (6, 5, 8)
LAYERS = {
    "batch": (IMAGE, layers.BatchNormalization, {}),
    "batch_of_features": ((8,), layers.BatchNormalization, {"scale": False}),
    "batch_of_sequences": ((None, 8), layers.BatchNormalization, {"center": False}),
    "batch_first": (IMAGE, layers.BatchNormalization, {"axis": 1}),
    "layer": ((7, 8), layers.LayerNormalization, {}),
    "layer_of_images": (IMAGE, layers.LayerNormalization, {"axis": [1, 2, 3]}),
    "layer_of_middle_axis": (IMAGE, layers.LayerNormalization, {"axis": 2, "epsilon": 1e-6}),
    "layer_plain": ((8,), layers.LayerNormalization, {"center": False, "scale": False}),
    "rms": ((7, 8), layers.RMSNormalization, {}),
    "group": (IMAGE, layers.GroupNormalization, {"groups": 4}),
    "group_first": (IMAGE, layers.GroupNormalization, {"groups": 3, "axis": 1}),
    "group_open": ((None, None, 8), layers.GroupNormalization, {"groups": 2}),
    "instance": (IMAGE, layers.GroupNormalization, {"groups": -1}),
    "unit": ((7, 8), layers.UnitNormalization, {}),
    "unit_of_images": (IMAGE, layers.UnitNormalization, {"axis": [1, 2]}),
}


@model(LAYERS)
def normalization(arguments):
    return one_layer(arguments)


INNER = {"dense": ((8,), layers.Dense, {}), "conv": (IMAGE, layers.Conv2D, {"kernel_size": 3})}


@model(INNER)
def spectral(arguments):
    shape, kind, options = arguments
    return one_layer((shape, layers.SpectralNormalization, {"layer": kind(4, **options)}))
