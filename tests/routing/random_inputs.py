"""Routings with random weights, and random inputs for them."""

import pytest
from conftest import to_numpy

from keras_capsules import routing

every_routing = pytest.mark.parametrize("name", sorted(routing.ROUTINGS))


def inputs_of(layer, generator, shape=(2, 6, 3, 4), scale=1.0):
    """Random inputs of the kinds that the routing takes."""
    inputs = {"votes": scale * generator.normal(size=shape)}
    if layer.explicit_activations:
        inputs["activations"] = generator.uniform(0.05, 1, size=shape[:2])
    if layer.needs_poses:
        inputs["poses"] = generator.normal(size=(*shape[:2], 5))
    return {key: array.astype("float32") for key, array in inputs.items()}


def built(name, generator, shape=(2, 6, 3, 4), **options):
    """A routing with random weights."""
    layer = routing.get(name, **options)
    layer(**inputs_of(layer, generator, shape))
    for weight in layer.trainable_weights:
        weight.assign(to_numpy(weight) + 0.3 * generator.normal(size=weight.shape))
    return layer
