"""Convolutional capsules whose children of a type cast one vote together."""

import numpy as np
import pytest
from conftest import evaluate, to_numpy
from reference import convolution as reference

from keras_capsules import routing
from tests.layers.conv_capsules import GEOMETRIES, JAX, ROUTINGS, TRANSPOSED, built, windows

TYPES_VOTE = sorted(name for name in ROUTINGS if not routing.get(name).explicit_activations)


@pytest.mark.parametrize("name", TYPES_VOTE[:1] if JAX else TYPES_VOTE)
@pytest.mark.parametrize(
    ("grid", "geometry"), TRANSPOSED[:1] if JAX else [GEOMETRIES[2], GEOMETRIES[3], *TRANSPOSED]
)
def test_all_children_of_a_type_cast_one_vote(generator, name, grid, geometry):
    """It is the sum of their votes, with the same kernel for all types, and a bias."""
    options, expected = ROUTINGS[name]
    options = {"routing": routing.get(name, **options), "transform": "convolution"}
    layer, poses = built(generator, grid, use_bias=True, **options, **geometry)
    rank = len(grid)
    kernel = to_numpy(layer.kernel).astype("float64")
    kernel = np.repeat(kernel, 2, axis=rank).reshape(-1, 2, *kernel.shape[rank + 1 :])
    found, cells = windows(layer, grid)
    no_bias = np.zeros((3, 4))
    votes = [
        [reference.votes_of_a_cell(x, window, kernel, False, no_bias, None) for window in found]
        for x in poses.astype("float64")
    ]
    votes = np.reshape(votes, (2 * len(found), -1, 2, 3, 4)).sum(axis=1) + to_numpy(layer.bias)
    weights = {
        weight.path.partition(layer.routing.name + "/")[2]: to_numpy(weight).astype("float64")
        for weight in layer.routing.trainable_weights
    }
    expected = expected({"votes": votes}, weights)
    output, coupling = evaluate(lambda x: layer(x, return_coupling=True), poses)
    for part, other in ((output, expected[0]), (coupling, expected[-1])):
        np.testing.assert_allclose(part, other.reshape(2, *cells, *other.shape[1:]), atol=1e-5)


@pytest.mark.parametrize("transposed", [False, True])
def test_masked_children_of_a_type_do_not_vote(generator, transposed):
    options = {"transform": "convolution", "kernel_size": 3, "strides": 2, "padding": "same"}
    layer, poses = built(generator, (5,), transposed=transposed, **options)
    mask = np.array([[1, 1, 0, 0, 0], [0, 1, 1, 1, 1]], "bool")
    expected = evaluate(layer, poses * mask[..., None, None])
    poses[~mask] = np.nan
    found = evaluate(lambda x: layer(x, mask=mask), poses)
    cells = to_numpy(layer.compute_mask(poses, mask))
    np.testing.assert_allclose(found[cells], expected[cells], atol=1e-6)
    shown, _ = windows(layer, (5,))
    for sample in range(2):
        seen = [any(p is not None and mask[sample][p] for p in window) for window in shown]
        np.testing.assert_array_equal(cells[sample], seen)
