"""Tests that the layers written by hand compute the same as the library's."""

import keras
import numpy as np
import pytest

from benchmarks.layers_by_hand import GAUSSIAN, BroadcastCapsules, EinsumCapsules
from keras_capsules import CapsuleLayer, VariationalBayesRouting

RELATIVE, ABSOLUTE = 2e-4, 2e-5


def same_outputs(by_hand, layer, inputs):
    numbers = np.random.default_rng(0)
    layer(inputs), by_hand(inputs)
    weights = [0.3 * numbers.normal(size=weight.shape) for weight in by_hand.weights]
    by_hand.set_weights(weights)
    layer.set_weights(weights)
    outputs = (keras.tree.flatten(layer(inputs)), keras.tree.flatten(by_hand(inputs)))
    for expected, found in zip(*outputs, strict=False):
        expected, found = map(keras.ops.convert_to_numpy, (expected, found))
        np.testing.assert_allclose(found, expected, RELATIVE, ABSOLUTE)


@pytest.mark.parametrize("by_hand", [EinsumCapsules, BroadcastCapsules])
def test_dynamic(by_hand):
    poses = np.random.default_rng(1).normal(size=(3, 20, 8)).astype("float32")
    same_outputs(by_hand(), CapsuleLayer(10, 16), poses)


@pytest.mark.parametrize("name", GAUSSIAN)
def test_gaussians(name):
    numbers = np.random.default_rng(1)
    poses = numbers.normal(size=(3, 20, 8)).astype("float32")
    present = numbers.uniform(0.2, 1, size=(3, 20)).astype("float32")
    routing = VariationalBayesRouting(normalize=False) if name == "variational_bayes" else name
    same_outputs(GAUSSIAN[name](), CapsuleLayer(10, 16, routing=routing), [poses, present])
