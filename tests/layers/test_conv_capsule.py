"""Convolutional capsules against windows, votes and routings computed one by one in float64."""

import keras
import numpy as np
import pytest
from conftest import evaluate, gradient, to_numpy
from reference import convolution as reference
from reference import routing as routing_reference
from routing_cases import CASES

from keras_capsules import (
    ConvCapsule1D,
    ConvCapsule1DTranspose,
    ConvCapsule2D,
    ConvCapsule2DTranspose,
    routing,
)
from keras_capsules.layers import _convolution
from keras_capsules.routing.votes import ChunkedVotes

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
ONE_AND_TWO_AXES = GEOMETRIES[2:3] if JAX else GEOMETRIES[2:4] + TRANSPOSED[:2]


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


@pytest.mark.parametrize("transform", ["dense", "convolution"])
def test_cells_that_no_kernel_reaches_are_zero(generator, transform):
    sizes = {"kernel_size": 2, "strides": 3, "transform": transform}
    layer, poses = built(generator, (3,), transposed=True, **sizes)
    found = evaluate(layer, poses)
    assert found.shape == (2, 9, 3, 4)
    empty = np.abs(found).max(axis=(0, 2, 3)) == 0
    np.testing.assert_array_equal(empty, np.arange(9) % 3 == 2)


def test_transposed_layers_save_and_take_open_sizes(generator, tmp_path):
    for name, options in (("dynamic", {"transform": "convolution"}), ("em", {})):
        sizes = {"kernel_size": 4, "strides": 2, "padding": "same", "routing": name}
        layer, inputs = built(generator, (3, 4), transposed=True, **sizes, **options)
        expected = keras.tree.flatten(evaluate(layer, inputs))
        opened = ((None, None, 2, 4), (None, None, 2))[: len(keras.tree.flatten(inputs))]
        tensors = [keras.Input(shape) for shape in opened]
        again = ConvCapsule2DTranspose.from_config(layer.get_config())
        model = keras.Model(tensors, again(tensors if tensors[1:] else tensors[0]))
        assert keras.tree.flatten(model.output)[0].shape == (None, None, None, 3, 4)
        again.set_weights(layer.get_weights())
        model.save(tmp_path / "model.keras")
        loaded = keras.models.load_model(tmp_path / "model.keras")
        found = keras.tree.flatten(loaded.predict(inputs, verbose=0))
        for one, other in zip(found, expected, strict=True):
            np.testing.assert_allclose(one, other, atol=1e-5)


@pytest.mark.parametrize(
    ("name", "options"),
    [
        ("em", {"transform": "matrix", "use_bias": True, "coordinate_addition": True}),
        ("dynamic", {"in_dim": 9, "share_weights": True}),
    ],
)
def test_a_step_in_chunks_is_the_same(generator, monkeypatch, name, options):
    """A step changes all weights as much, and the poses' gradient reaches the layer before."""
    layer, inputs = built(generator, (4, 5), routing=name, kernel_size=3, padding="same", **options)
    inputs = keras.tree.map_structure(np.asarray, inputs)

    def weights_after_a_step():
        tensors = keras.tree.map_structure(lambda x: keras.Input(x.shape[1:]), inputs)
        parts = keras.tree.flatten(tensors)
        before = keras.layers.Dense(parts[0].shape[-1], kernel_initializer="identity")
        again = ConvCapsule2D.from_config(layer.get_config())
        output = keras.tree.flatten(
            again((before(parts[0]), *parts[1:]) if parts[1:] else before(parts[0]))
        )
        model = keras.Model(parts, output)
        again.set_weights(layer.get_weights())
        model.compile(keras.optimizers.SGD(1.0), ["mse"] * len(output))
        targets = [np.zeros((2, *tensor.shape[1:]), "float32") for tensor in output]
        model.train_on_batch(keras.tree.flatten(inputs), targets)
        return model.get_weights()

    expected = weights_after_a_step()
    monkeypatch.setattr(_convolution, "CHUNK", 0)
    made = []
    monkeypatch.setattr(
        _convolution, "ChunkedVotes", lambda *a: made.append(ChunkedVotes(*a)) or made[-1]
    )
    found = weights_after_a_step()
    assert made
    for one, other in zip(found, expected, strict=True):
        np.testing.assert_allclose(one, other, rtol=1e-4, atol=1e-6)


def test_one_position_is_what_a_capsule_layer_does(generator):
    from keras_capsules import CapsuleLayer

    layer, poses = built(generator, (2, 3), kernel_size=(2, 3))
    dense = CapsuleLayer(3, 4)
    dense.build((None, 12, 4))
    dense.kernel.assign(to_numpy(layer.kernel).reshape(12, 3, 4, 4))
    found = to_numpy(layer(poses))[:, 0, 0]
    np.testing.assert_allclose(found, to_numpy(dense(poses)), atol=1e-6)


@pytest.mark.parametrize("name", ["dynamic", "em"])
def test_a_layer_takes_grids_of_other_sizes(generator, name):
    layer, _ = built(generator, (5, 4), routing=name, kernel_size=3)
    other, inputs = built(generator, (4, 6), routing=name, kernel_size=3)
    other.set_weights(layer.get_weights())
    for one, two in zip(
        keras.tree.flatten(evaluate(layer, inputs)),
        keras.tree.flatten(evaluate(other, inputs)),
        strict=True,
    ):
        np.testing.assert_array_equal(one, two)


@pytest.mark.parametrize("name", ["dynamic", "em", "variational_bayes"])
def test_samples_do_not_see_their_batch(generator, name):
    layer, inputs = built(generator, (5, 4), routing=name, kernel_size=3)
    together = keras.tree.flatten(evaluate(layer, inputs))
    alone = keras.tree.map_structure(lambda x: x[1:], inputs)
    for one, both in zip(keras.tree.flatten(evaluate(layer, alone)), together, strict=True):
        np.testing.assert_allclose(one[0], both[1], atol=1e-5)
    poses = inputs[0] if isinstance(inputs, tuple) else inputs
    poses[0, 0, 0] = np.nan
    poisoned = keras.tree.flatten(evaluate(layer, inputs))[0]
    assert np.isnan(poisoned[0]).any() and not np.isnan(poisoned[1]).any()


@pytest.mark.parametrize("name", sorted(routing.ROUTINGS))
def test_symbolic_shapes_config_and_finite_gradient_at_zero(generator, name):
    layer, inputs = built(generator, (4, 5), routing=name, kernel_size=3, padding="same", strides=2)
    symbolic = keras.tree.map_structure(lambda x: keras.Input(x.shape[1:]), inputs)
    output, coupling = layer(symbolic, return_coupling=True)
    assert coupling.shape == (None, 2, 3, 18, 3)
    shapes = [part.shape for part in keras.tree.flatten(output)]
    assert shapes == [(None, 2, 3, 3, 4), (None, 2, 3, 3)][: len(shapes)]
    again = ConvCapsule2D.from_config(layer.get_config())
    assert again.get_config() == layer.get_config()
    again.build(keras.tree.map_structure(lambda x: x.shape, inputs))
    again.set_weights(layer.get_weights())
    for one, other in zip(
        keras.tree.flatten(evaluate(again, inputs)),
        keras.tree.flatten(evaluate(layer, inputs)),
        strict=True,
    ):
        np.testing.assert_array_equal(one, other)
    rest = [keras.ops.convert_to_tensor(part) for part in keras.tree.flatten(inputs)[1:]]

    def poses_of(poses):
        return keras.tree.flatten(layer((poses, *rest) if rest else poses))[0]

    zeros = np.zeros((1, 4, 5, 2, 4), "float32")
    rest = [part[:1] for part in rest]
    assert np.isfinite(gradient(poses_of, zeros)).all()


@pytest.mark.parametrize(
    ("options", "shape", "message"),
    [
        ({"kernel_size": 5}, (4, 6, 2, 4), r"kernel_size=\(5, 5\), grid=\(4, 6\)"),
        ({}, (4, 2, 4), r"PrimaryCapsule2D.*shape=\(None, 4, 2, 4\)"),
        ({"kernel_size": 5}, (None, 4, 2, 4), r"grid=\(None, 4\)"),
        ({"transform": "matrix"}, (4, 4, 2, 5), "matrix of the size"),
    ],
)
def test_inputs_that_do_not_fit(options, shape, message):
    with pytest.raises(ValueError, match=message):
        ConvCapsule2D(3, 4, **{"kernel_size": 3, **options}).build((None, *shape))


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"kernel_size": 0}, "kernel_size=0"),
        ({"kernel_size": (3, 3, 3)}, r"kernel_size=\(3, 3, 3\)"),
        ({"strides": (1, -1)}, "strides=-1"),
        ({"padding": "causal"}, "padding='causal'"),
        ({"coordinate_addition": True, "capsule_dim": 1}, "capsule_dim=1"),
        ({"transform": "convolve"}, '"dense", "matrix" or "convolution".*convolve'),
        ({"transform": "convolution", "routing": "em"}, "explicit activations.*em_routing"),
        ({"transform": "convolution", "share_weights": True}, "share_weights=True"),
    ],
)
def test_arguments_out_of_range(options, message):
    with pytest.raises(ValueError, match=message):
        ConvCapsule2D(**{"num_capsules": 3, "capsule_dim": 4, "kernel_size": 3, **options})


def test_activations_missing_or_not_wanted(generator):
    poses = generator.normal(size=(2, 4, 4, 2, 4)).astype("float32")
    with pytest.raises(ValueError, match="activations=None"):
        ConvCapsule2D(3, 4, 3, routing="em")(poses)
    with pytest.raises(ValueError, match="does not use"):
        ConvCapsule2D(3, 4, 3)((poses, poses[..., 0]))
