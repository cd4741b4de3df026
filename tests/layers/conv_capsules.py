"""Convolutional capsules with random weights, and the windows that their cells see."""

import keras
from conftest import to_numpy
from reference import convolution as reference
from routing_cases import CASES

from keras_capsules import (
    ConvCapsule1D,
    ConvCapsule1DTranspose,
    ConvCapsule2D,
    ConvCapsule2DTranspose,
)

# One case of each routing.
ROUTINGS = {name: (options, expected) for name, options, expected in CASES}
GEOMETRIES = [
    ((5, 4), {"kernel_size": (3, 2), "strides": (2, 1)}),
    ((4, 4), {"kernel_size": 4}),
    ((3, 4), {"kernel_size": 3, "strides": 2, "padding": "same"}),
    ((7,), {"kernel_size": 3, "strides": 2}),
    ((5,), {"kernel_size": 4, "padding": "same"}),
]
TRANSPOSED = [
    ((3, 2), {"kernel_size": (3, 4), "strides": 2, "padding": "same", "transposed": True}),
    ((3,), {"kernel_size": 3, "strides": 2, "transposed": True}),
    ((3, 2), {"kernel_size": (2, 3), "strides": (1, 3), "transposed": True}),
    ((4,), {"kernel_size": 4, "strides": 3, "padding": "same", "transposed": True}),
]

# JAX compiles each again.
JAX = keras.backend.backend() == "jax"


def class_of(rank, transposed):
    classes = {False: (ConvCapsule1D, ConvCapsule2D)}
    classes[True] = (ConvCapsule1DTranspose, ConvCapsule2DTranspose)
    return classes[transposed][rank - 1]


def built(generator, grid, types=2, in_dim=4, transposed=False, **options):
    """A layer with random weights, and random inputs for it."""
    layer_class = class_of(len(grid), transposed)
    sizes = {"num_capsules": 3, "capsule_dim": 4, "kernel_initializer": "zeros"}
    layer = layer_class(**sizes | options)
    poses = generator.normal(size=(2, *grid, types, in_dim)).astype("float32")
    inputs = poses
    if layer.routing.explicit_activations:
        activations = generator.uniform(0.05, 1, size=poses.shape[:-1]).astype("float32")
        inputs = (poses, activations)
    layer.build(keras.tree.map_structure(lambda x: x.shape, inputs))
    for weight in layer.trainable_weights:
        weight.assign(to_numpy(weight) + 0.4 * generator.normal(size=weight.shape))
    return layer, inputs


def windows(layer, grid):
    transposed = type(layer).__name__.endswith("Transpose")
    function = reference.transposed_windows if transposed else reference.windows
    return function(grid, layer.kernel_size, layer.strides, layer.padding)
