"""Compares the parts of a file with the layers that they compute, on inputs that excite each layer.

Inputs of the whole model may leave units of an inner layer at zero, or a branch untaken. Here each
layer, with the layers before it that the file has no value for, gets random inputs of both signs,
and the same inputs go into its part of the file.
"""

import operator
from collections.abc import Iterator
from dataclasses import replace

import keras
import numpy as np
import onnx
import onnx.utils

from export.compare.accepted import accepted
from export.compare.locate import Placed, in_layout_of, placed_layers
from export.compare.run import in_batches, run_keras, session
from export.compare.suites import Suite, last_bits_changed
from export.compare.tolerance import ROUNDINGS, scale_of
from export.results import Kind, LayerError, Part
from keras_capsules import _graph

_SMALLEST = 1e-5
"""Smallest difference that counts, times the scale of the layer's output."""


def compare_layers(
    model: keras.Model, file: onnx.ModelProto, suite: Suite
) -> tuple[list[LayerError], list[Part]]:
    """Compares the layers of a model with its file, on the way of a suite and each on its own.

    Args:
        model: The Keras model.
        file: The canonical file, which computes the same as the model on random inputs.
        suite: Inputs.
    """
    placed = placed_layers(model, file, suite)
    return placed.errors, compare_parts(file, placed)


def compare_parts(file: onnx.ModelProto, placed: Placed) -> list[Part]:
    """Returns a `Part` for each layer of a model.

    Args:
        file: The canonical file, which computes the same as the model on random inputs.
        placed: The places of the layers in it.
    """
    extractor = onnx.utils.Extractor(onnx.shape_inference.infer_shapes(file))
    most = max((array.size for array in placed.truth.values()), default=0)
    normal = np.random.default_rng(0).standard_normal(most, dtype="float32")
    return [_part(call, placed, extractor, normal) for call in placed.calls]


def _part(call, placed: Placed, extractor, normal):
    name = call.operation.name
    if not all(id(tensor) in placed.sure for tensor in call.outputs):
        return Part(name)
    inputs = list(_cut(call, placed))
    try:
        layer = keras.Model(inputs, call.outputs)
        ends = [[placed.names[id(x)] for x in tensors] for tensors in (inputs, call.outputs)]
        runner = session(extractor.extract_model(*ends), optimize=False, threads=1)
    except Exception:  # The part was merged with its neighbours. The errors share no other class.
        return Part(name)
    if any(placed.truth[id(tensor)].ndim != len(tensor.shape) for tensor in inputs):
        return Part(name)  # A value without a batch axis is there once for each batch.
    numbers = zip(inputs, accepted(layer), strict=True)
    arrays = [_excited(placed.truth[id(x)], entry.rows, normal) for x, entry in numbers]
    suite = Suite(Kind.PART, arrays, len(arrays[0]))
    feeds = [
        _in_form_of(placed.values[name], array) for name, array in zip(ends[0], arrays, strict=True)
    ]

    def run(batch):
        return runner.run(ends[1], dict(zip(ends[0], batch, strict=True)))

    outputs = in_batches(run, replace(suite, inputs=feeds))
    try:
        expected = run_keras(layer, suite)
        error = _error(layer, suite, expected, outputs)
    except Exception:  # A layer that refuses such numbers may raise any class.
        return Part(name)
    return Part(name, error, _unmoved(expected[0]))


def _error(layer, suite, expected, outputs):
    """Returns the largest difference as a share of the allowed one; see `results.Part`."""
    found = map(in_layout_of, expected, outputs)
    pairs = zip(expected, found, strict=True)
    differences = [np.inf if value is None else _difference(own, value) for own, value in pairs]
    allowed = [_SMALLEST * scale_of(array) for array in expected]
    if any(map(operator.gt, differences, allowed)):  # Its rounding may allow more.
        nearby = [run_keras(layer, last_bits_changed(suite, seed)) for seed in range(2)]
        for index, array in enumerate(expected):
            rounding = max(_difference(array, other[index]) for other in nearby)
            allowed[index] = max(ROUNDINGS * rounding, allowed[index])
    return max(map(operator.truediv, differences, allowed))


def _cut(call, placed) -> Iterator[keras.KerasTensor]:
    """Yields the nearest tensors before a call that the file has a value for, each once."""
    seen, pending = set(), list(call.inputs)
    while pending:
        tensor = pending.pop()
        if id(tensor) in seen:
            continue
        seen.add(id(tensor))
        if id(tensor) in placed.sure:
            yield tensor
        else:
            pending.extend(_graph.producer(tensor).inputs)


def _excited(truth, rows, normal):
    """Returns random numbers of both signs, rows of a table, or whole numbers in another order.

    Args:
        truth: The values of the tensor on random inputs of the model.
        rows: Number of rows of the table whose rows the tensor chooses, or `None`.
        normal: At least as many normal numbers as the tensor has values.
    """
    generator = np.random.default_rng(0)
    if rows is not None:
        return generator.integers(0, rows, truth.shape).astype(truth.dtype)
    if truth.dtype.kind != "f":
        return generator.permutation(truth.ravel()).reshape(truth.shape)
    excited = normal[: truth.size].reshape(truth.shape) * max(1.0, scale_of(truth))
    return excited.astype(truth.dtype)


def _in_form_of(value, array):
    """Returns an array in the layout and the type of the file's value."""
    moved = array if value.shape == array.shape else np.moveaxis(array, -1, 1)
    return moved.astype(value.dtype)


def _difference(expected, found):
    """Returns the largest difference between numbers; where either is none there is nothing."""
    with np.errstate(invalid="ignore"):  # Infinity minus infinity.
        difference = np.subtract(found, expected, dtype="float64")
    largest = float(np.abs(difference, out=difference).max(initial=0.0))
    if not np.isfinite(largest):
        largest = float(difference[np.isfinite(difference)].max(initial=0.0))
    return largest


def _unmoved(output):
    """Counts the units, on the last axis, that are the same for all inputs."""
    units = output.reshape(-1, output.shape[-1]) if output.ndim > 1 else output[:, None]
    return int(np.sum((units == units[:1]).all(axis=0)))
