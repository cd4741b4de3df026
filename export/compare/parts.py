"""Compares the parts of a file with the layers that they compute, on inputs that excite each layer.

Inputs of the whole model may leave units of an inner layer at zero, or a branch untaken. Here each
layer, with the layers before it that the file has no value for, gets random inputs of both signs,
and the same inputs go into its part of the file.
"""

from collections.abc import Iterator
from dataclasses import replace

import keras
import numpy as np
import onnx
import onnx.utils

from export.compare.accepted import accepted
from export.compare.locate import Placed, in_layout_of
from export.compare.run import in_batches, run_keras, session
from export.compare.suites import Suite, last_bits_changed
from export.compare.tolerance import ROUNDINGS, scale_of
from export.results import Kind, Part
from keras_capsules import _graph

_SMALLEST = 1e-5
"""Smallest difference that counts, times the scale of the layer's output."""


def compare_parts(file: onnx.ModelProto, placed: Placed) -> list[Part]:
    """Returns a `Part` for each layer of a model.

    Args:
        file: The canonical file, which computes the same as the model on random inputs.
        placed: The places of the layers in it.
    """
    extractor = onnx.utils.Extractor(onnx.shape_inference.infer_shapes(file))
    return [_part(call, placed, extractor) for call in placed.calls]


def _part(call, placed: Placed, extractor):
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
    numbers = zip(inputs, accepted(layer), strict=True)
    arrays = [_excited(placed.truth[id(tensor)], entry.rows) for tensor, entry in numbers]
    suite = Suite(Kind.PART, arrays, len(arrays[0]))
    feeds = [
        _in_form_of(placed.values[name], array) for name, array in zip(ends[0], arrays, strict=True)
    ]
    try:
        expected = run_keras(layer, suite)
        nearby = [run_keras(layer, last_bits_changed(suite, seed)) for seed in range(2)]
    except Exception:  # A layer that refuses such numbers may raise any class.
        return Part(name)
    worst = 0.0

    def run(batch):
        return runner.run(ends[1], dict(zip(ends[0], batch, strict=True)))

    for index, output in enumerate(in_batches(run, replace(suite, inputs=feeds))):
        rounding = max(_difference(expected[index], other[index]) for other in nearby)
        allowed = max(ROUNDINGS * rounding, _SMALLEST * scale_of(expected[index]))
        found = in_layout_of(expected[index], output)
        difference = np.inf if found is None else _difference(expected[index], found)
        worst = max(worst, difference / allowed)
    return Part(name, worst, _unmoved(expected[0]))


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


def _excited(truth, rows):
    """Returns random numbers of both signs, rows of a table, or whole numbers in another order."""
    generator = np.random.default_rng(0)
    if rows is not None:
        return generator.integers(0, rows, truth.shape).astype(truth.dtype)
    if truth.dtype.kind != "f":
        return generator.permutation(truth.ravel()).reshape(truth.shape)
    scale = np.abs(truth[np.isfinite(truth)]).max(initial=0.0)
    normal = generator.standard_normal(truth.shape, dtype="float32") * max(1.0, scale)
    return normal.astype(truth.dtype)


def _in_form_of(value, array):
    """Returns an array in the layout and the type of the file's value."""
    moved = array if value.shape == array.shape else np.moveaxis(array, -1, 1)
    return moved.astype(value.dtype)


def _difference(expected, found):
    """Returns the largest difference between numbers; where either is none there is nothing."""
    both = np.isfinite(expected) & np.isfinite(found)
    difference = np.subtract(found, expected, dtype="float64", where=both, out=np.zeros(both.shape))
    return float(np.abs(difference).max(initial=0.0))


def _unmoved(output):
    """Counts the units, on the last axis, that are the same for all inputs."""
    units = output.reshape(-1, output.shape[-1]) if output.ndim > 1 else output[:, None]
    return int(np.sum((units == units[:1]).all(axis=0)))
