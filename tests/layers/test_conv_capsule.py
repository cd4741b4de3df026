"""Convolutional capsules against windows, votes and routings computed one by one in float64."""

import numpy as np
import pytest
from conftest import evaluate, to_numpy
from reference import convolution as reference
from reference import routing as routing_reference

from keras_capsules import routing
from tests.layers.conv_capsules import GEOMETRIES, JAX, ROUTINGS, TRANSPOSED, built, windows

ONE_AND_TWO_AXES = GEOMETRIES[2:3] if JAX else GEOMETRIES[2:4] + TRANSPOSED[:2]


def votes_of_cells(layer, poses):
    """Returns votes (batch, cells, children, parents, dim), the windows and the cells' grid."""
    rank = len(layer.kernel_size)
    grid, types = poses.shape[1 : 1 + rank], poses.shape[-2]
    found, cells = windows(layer, grid)
    taps = len(found[0])
    kernel = to_numpy(layer.kernel).astype("float64")
    kernel = np.broadcast_to(kernel, (*layer.kernel_size, *kernel.shape[rank:]))
    kernel = kernel.reshape(taps, types, *kernel.shape[rank + 1 :])
    bias = np.zeros((layer.num_capsules, layer.capsule_dim))
    if layer.use_bias:
        bias = to_numpy(layer.bias)
    coordinates = None
    if layer.coordinate_addition:
        coordinates = np.zeros((taps, layer.capsule_dim))
        side = int(np.sqrt(layer.capsule_dim))
        for tap, place in enumerate(np.ndindex(*layer.kernel_size)):
            for axis in range(rank):
                where = axis * side + side - 1 if layer.transform == "matrix" else axis
                coordinates[tap, where] = (place[axis] + 0.5) / layer.kernel_size[axis]
    votes = [
        [
            reference.votes_of_a_cell(
                sample.astype("float64"),
                window,
                kernel,
                layer.transform == "matrix",
                bias,
                coordinates,
            )
            for window in found
        ]
        for sample in poses
    ]
    return np.array(votes), found, cells


def windows_of(values, found):
    """Takes (batch, *grid, types, ...) to (batch, cells, taps * types, ...), 0 beyond the edge."""
    rank = next(len(place) for place in found[0] if place is not None)
    empty = np.zeros_like(values[(0,) + (0,) * rank])
    cells = [
        [[empty if place is None else sample[place] for place in window] for window in found]
        for sample in values
    ]
    cells = np.array(cells)
    return cells.reshape(*cells.shape[:2], -1, *cells.shape[4:])


def expected_of(layer, name, inputs):
    """Routes each cell by itself; for the routings that compete across cells, all together."""
    poses, activations = inputs if isinstance(inputs, tuple) else (inputs, None)
    options, expected = ROUTINGS[name]
    votes, found, cells = votes_of_cells(layer, poses)
    prefix = layer.routing.name + "/"
    weights = {
        weight.path.partition(prefix)[2]: to_numpy(weight).astype("float64")
        for weight in layer.routing.trainable_weights
    }
    batch, num_cells, children, parents, dim = votes.shape
    if layer.routing.competes_across_cells:
        grid = poses.shape[1:-1]  # With the types.
        all_votes = np.zeros((batch, *grid, num_cells, parents, dim))
        seen = np.zeros((*grid, num_cells, parents), "bool")
        taps = votes.reshape(batch, num_cells, -1, grid[-1], parents, dim)
        for cell, window in enumerate(found):
            for tap, place in enumerate(window):
                if place is not None:
                    all_votes[(slice(None), *place)][:, :, cell] = taps[:, cell, tap]
                    seen[place][:, cell] = True
        size = np.prod(grid)
        arguments = {key: np.tile(weight, num_cells) for key, weight in weights.items()}
        arguments |= {key: value for key, value in options.items() if key != "normalize"}
        arguments |= {"cells": num_cells} if name == "variational_bayes" else {}
        result = getattr(routing_reference, name)(
            all_votes.reshape(batch, size, num_cells * parents, dim),
            activations.reshape(batch, size),
            seen=seen.reshape(size, -1),
            **arguments,
        )
        coupling = result[2].reshape(batch, *grid, num_cells * parents)
        coupling = windows_of(coupling, found).reshape(
            batch, num_cells, children, num_cells, parents
        )
        coupling = coupling[:, np.arange(num_cells), :, np.arange(num_cells)].swapaxes(0, 1)
        result = (*result[:2], coupling)
    else:
        cell_inputs = {"votes": votes.reshape(-1, children, parents, dim)}
        if activations is not None:
            cell_inputs["activations"] = windows_of(activations, found).reshape(-1, children)
        if layer.routing.needs_poses:
            cell_inputs["poses"] = windows_of(poses, found).reshape(-1, children, poses.shape[-1])
        result = expected(cell_inputs, weights)
    poses, *activations, coupling = result
    coupling = coupling.reshape(batch, num_cells, -1, poses.shape[-1] and parents)
    beyond = np.array([[place is None for place in window] for window in found])
    coupling[:, np.repeat(beyond, children // beyond.shape[1], axis=1)] = 0
    activations = [part.reshape(batch, *cells, parents) for part in activations]
    return (
        poses.reshape(batch, *cells, parents, dim),
        *activations,
        coupling.reshape(batch, *cells, children, parents),
    )


def check(layer, name, inputs):
    output, coupling = evaluate(lambda x: layer(x, return_coupling=True), inputs)
    found = (*(output if isinstance(output, tuple) else (output,)), coupling)
    for part, expected in zip(found, expected_of(layer, name, inputs), strict=True):
        np.testing.assert_allclose(part, expected, rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("name", sorted(routing.ROUTINGS))
@pytest.mark.parametrize(("grid", "geometry"), ONE_AND_TWO_AXES)
def test_every_routing_in_every_cell(generator, name, grid, geometry):
    layer, inputs = built(
        generator, grid, routing=routing.get(name, **ROUTINGS[name][0]), **geometry
    )
    check(layer, name, inputs)


@pytest.mark.parametrize(("grid", "geometry"), GEOMETRIES + TRANSPOSED[1 : 2 if JAX else 4])
@pytest.mark.parametrize(("transform", "share_weights"), [("dense", True), ("matrix", False)])
def test_transforms_bias_and_coordinates(generator, grid, geometry, transform, share_weights):
    options = {"use_bias": True, "coordinate_addition": True, "share_weights": share_weights}
    for name in ("uniform", "em"):
        instance = routing.get(name, **ROUTINGS[name][0])
        layer, inputs = built(
            generator, grid, routing=instance, transform=transform, **options, **geometry
        )
        check(layer, name, inputs)
    kernel_axes = [1] * len(grid) if share_weights else list(layer.kernel_size)
    assert list(layer.kernel.shape) == [*kernel_axes, 2, 3, *([2, 2], [4, 4])[transform == "dense"]]


@pytest.mark.parametrize("name", ["em", "variational_bayes"])
@pytest.mark.parametrize(("grid", "geometry"), GEOMETRIES[::2] + TRANSPOSED[1 : 2 if JAX else 4])
def test_a_child_divides_itself_among_all_cells_that_see_it(generator, name, grid, geometry):
    layer, inputs = built(generator, grid, routing=name, **geometry)
    _, coupling = evaluate(lambda x: layer(x, return_coupling=True), inputs)
    found, _ = windows(layer, grid)
    shares = coupling.reshape(2, len(found), len(found[0]), 2, 3).sum(axis=-1)
    total = np.zeros((2, *grid, 2))
    seen = np.zeros(grid, "bool")
    for cell, window in enumerate(found):
        for tap, place in enumerate(window):
            if place is not None:
                total[(slice(None), *place)] += shares[:, cell, tap]
                seen[place] = True
    np.testing.assert_allclose(total[:, seen], 1, atol=1e-5)


def test_one_position_is_what_a_capsule_layer_does(generator):
    from keras_capsules import CapsuleLayer

    layer, poses = built(generator, (2, 3), kernel_size=(2, 3))
    dense = CapsuleLayer(3, 4)
    dense.build((None, 12, 4))
    dense.kernel.assign(to_numpy(layer.kernel).reshape(12, 3, 4, 4))
    found = to_numpy(layer(poses))[:, 0, 0]
    np.testing.assert_allclose(found, to_numpy(dense(poses)), atol=1e-6)
