"""Keras against onnxruntime: the same inputs through both, and the difference measured.

Batches of several sizes, ordinary and extreme values, with onnxruntime's optimizations on and off
and on one thread and many. The file passes if in every case the outputs agree to the tolerance,
are finite and infinite in the same places, and name the same label wherever the model itself can
tell the labels apart.
"""

import itertools
import math
from collections.abc import Iterator
from dataclasses import dataclass

import keras
import numpy as np
import onnx
import onnxruntime
from onnx import helper

from export import source
from export.errors import ConversionError
from export.tidy import serialize

BATCHES = (1, 2, 7, 32)
_LARGEST = max(BATCHES)
TOLERANCE = 1e-5
"""Largest absolute difference, times the largest absolute output of the batch if that exceeds 1."""

# Extreme inputs may magnify the rounding of float32 itself. Where a difference exceeds the
# tolerance, the model is run again on inputs changed in their last bit. What that alone moves,
# times a factor for the roundings in between, is allowed, up to a limit.
_ROUNDINGS = 8
_LIMIT = 1e-3

_SESSIONS = tuple(
    itertools.product(("ORT_DISABLE_ALL", "ORT_ENABLE_ALL"), (1, 0))  # 0 threads: all cores
)


@dataclass
class Comparison:
    """One output of the model over one suite of inputs, the worst of all sessions.

    Attributes:
        output: Name of the output.
        suite: What the inputs were.
        samples: Number of samples.
        max_abs: Largest absolute difference.
        rmse: Root of the mean squared difference.
        cosine: Smallest cosine between the two outputs of a sample.
        scale: `max(1, max(abs(output)))`.
        allowed: Largest absolute difference that passes: the tolerance times the scale, or more
            where `sensitivity` accounts for it.
        sensitivity: How far the model's own output moves when its inputs change in their last
            bit; measured where the tolerance times the scale was exceeded, `None` elsewhere.
        nan_equal: Whether both are NaN, and infinite, in the same places.
        label_flips: Samples whose largest score is another, although the model's two largest
            differ by more than twice what is allowed. Zero for outputs that are no scores.
        passed: Whether the file may be written.
        error: What onnxruntime said where it could not run the file, or empty.
    """

    output: str
    suite: str
    samples: int
    max_abs: float
    rmse: float
    cosine: float
    scale: float
    allowed: float
    sensitivity: float | None
    nan_equal: bool
    label_flips: int
    passed: bool
    error: str = ""


def compare(
    model: keras.Model,
    file: onnx.ModelProto,
    input_range: tuple[float, float] = (0.0, 1.0),
    data: dict[str, np.ndarray] | None = None,
    tolerance: float = TOLERANCE,
    batch: int | None = None,
) -> list[Comparison]:
    """Compares a model with its ONNX file.

    Args:
        model: The Keras model, on any backend.
        file: Its conversion.
        input_range: Pair of floats between which inputs usually lie.
        data: Real inputs by name, all of one length, or `None`.
        tolerance: Float, see `TOLERANCE`.
        batch: Size of the file's batches, or `None` where it is open.

    Returns:
        A `Comparison` for each output and suite.
    """
    sessions = [_session(file, level, threads) for level, threads in _SESSIONS]
    names = source.output_names(model)
    comparisons = []
    for suite, inputs in suites(model, input_range, data, batch):
        expected = run_keras(model, inputs)
        try:
            found = [run_onnx(session, model, names, inputs) for session in sessions]
        except Exception as error:  # onnxruntime's errors have no common class but this.
            failures = (_failure(name, suite, len(inputs[0]), str(error)) for name in names)
            comparisons.extend(failures)
            continue
        for index, name in enumerate(names):
            pair = expected[index], [outputs[index] for outputs in found]
            comparison = _worst(name, suite, *pair, tolerance)
            if comparison.nan_equal and not comparison.passed:
                sensitivity = _sensitivity(model, inputs, expected, index)
                comparison = _worst(name, suite, *pair, tolerance, sensitivity)
            comparisons.append(comparison)
    return comparisons


def suite_inputs(
    model: keras.Model,
    suite: str,
    input_range: tuple[float, float] = (0.0, 1.0),
    data: dict[str, np.ndarray] | None = None,
    batch: int | None = None,
) -> list[np.ndarray]:
    """Returns the inputs that `compare` used in one of its suites."""
    return dict(suites(model, input_range, data, batch))[suite]


def first_divergence(
    model: keras.Model, file: onnx.ModelProto, inputs: list[np.ndarray]
) -> str | None:
    """Names the first Keras layer after which the file computes something else.

    Layers are compared by the last value that the file names after them. Several may share one
    node (a normalization folded into its convolution), so a layer counts only if no later one
    agrees again. Layers in between that the file does not name are named along: `"a or b"`.
    """
    if isinstance(model, keras.Sequential):
        model = keras.Model(model.inputs, model.outputs)
    values = {node.name.partition("/")[0]: node.output[0] for node in file.graph.node}
    probe = onnx.ModelProto()
    probe.CopyFrom(file)
    del probe.graph.output[:]
    probe.graph.output.extend(map(helper.make_empty_tensor_value_info, set(values.values())))
    session = _session(probe, "ORT_DISABLE_ALL", 1)
    names = [value.name for value in probe.graph.output]
    found = dict(zip(names, run_onnx(session, model, names, inputs), strict=True))
    suspects, differs = [], False
    for layer in model.layers:
        if isinstance(layer, keras.layers.InputLayer):
            continue
        if isinstance(layer, keras.Model):  # Its own output belongs to its own inputs.
            suspects.append(layer.name)
            continue
        expected = run_keras(keras.Model(model.input, layer.output), inputs)
        value = found.get(values.get(layer.name))
        value = _as_channels_last(value, expected[0].shape) if len(expected) == 1 else None
        agrees = value is not None and _compare("", "", expected[0], value, TOLERANCE).passed
        if agrees:
            suspects, differs = [], False
        elif not differs:
            suspects.append(layer.name)
            differs = value is not None
    return " or ".join(suspects) if differs else None


def run_keras(model: keras.Model, inputs: list) -> list[np.ndarray]:
    """Runs the model for inference, and returns its flat outputs as arrays."""

    def run(batch):
        tensors = [keras.ops.convert_to_tensor(array) for array in batch]
        return [keras.ops.convert_to_numpy(output) for output in source.call(model, tensors)]

    return _in_batches(run, inputs)


def run_onnx(session, model: keras.Model, outputs: list[str], inputs: list) -> list[np.ndarray]:
    """Runs a session on the model's flat inputs, and returns the named outputs."""
    names = source.input_names(model)

    def run(batch):
        return session.run(outputs, dict(zip(names, batch, strict=True)))

    fixed = session.get_inputs()[0].shape[0]
    if not isinstance(fixed, int):
        return _in_batches(run, inputs)
    # The last batch is filled up with the first samples, whose outputs are cut off again.
    samples = len(inputs[0])
    filled = [np.resize(x, (-(-samples // fixed) * fixed, *x.shape[1:])) for x in inputs]
    return [output[:samples] for output in _in_batches(run, filled, fixed)]


def _in_batches(run, inputs, size=_LARGEST):
    """Runs the inputs in batches of this size at most, and joins the outputs."""
    starts = range(0, len(inputs[0]), size)
    parts = [run([array[start : start + size] for array in inputs]) for start in starts]
    return [np.concatenate(output) for output in zip(*parts, strict=True)]


def suites(
    model: keras.Model,
    input_range: tuple[float, float],
    data: dict[str, np.ndarray] | None = None,
    batch: int | None = None,
) -> Iterator[tuple[str, list[np.ndarray]]]:
    """Yields the name and the inputs of each suite that `compare` runs."""
    generator = np.random.default_rng(0)

    def full(samples, make):
        arrays = []
        for tensor in model.inputs:
            is_pixels = tensor.dtype == "uint8"
            array = make((samples, *tensor.shape[1:]), *((0, 255) if is_pixels else input_range))
            if "int" in tensor.dtype:  # Else numbers of words or classes: all have a 0 and a 1.
                array = np.clip(np.round(array), 0, 255 if is_pixels else 1)
            arrays.append(array.astype(tensor.dtype))
        return arrays

    def random(factor=1.0):
        return lambda shape, low, high: generator.uniform(low, high, shape) * factor

    few = batch or 2
    for size in BATCHES if batch is None else (batch,):
        yield f"random, batch {size}", full(size if batch is None else 3 * batch, random())
    if data:
        names = zip(source.input_names(model), model.inputs, strict=True)
        yield "real", [np.asarray(data[name], tensor.dtype) for name, tensor in names]
    yield "zeros", full(few, lambda shape, low, high: np.zeros(shape))
    yield "constant", full(few, lambda shape, low, high: np.full(shape, high))
    if any("float" in tensor.dtype for tensor in model.inputs):
        for name, factor in (
            ("huge, x 1e4", 1e4),
            ("tiny, x 1e-8", 1e-8),
            ("tiny, x 1e-30", 1e-30),
        ):
            yield name, full(few, random(factor))


def _sensitivity(model, inputs, expected, index):
    signs = [np.random.default_rng(0).choice((-np.inf, np.inf), x.shape) for x in inputs]
    changed = [
        np.nextafter(x, sign.astype(x.dtype)) if x.dtype.kind == "f" else x
        for x, sign in zip(inputs, signs, strict=True)
    ]
    moved = np.abs(run_keras(model, changed)[index] - expected[index])
    return float(np.nan_to_num(moved, posinf=0.0).max())


def _worst(name, suite, expected, candidates, tolerance, sensitivity=None):
    compared = [_compare(name, suite, expected, c, tolerance, sensitivity) for c in candidates]
    return max(compared, key=lambda comparison: (not comparison.passed, comparison.max_abs))


def _compare(name, suite, expected, found, tolerance, sensitivity=None):
    same_shape = expected.shape == found.shape and expected.dtype == found.dtype
    finite = np.isfinite(expected)
    nan_equal = same_shape and np.array_equal(
        np.where(finite, 0.0, expected), np.where(np.isfinite(found), 0.0, found), equal_nan=True
    )
    if not nan_equal:
        return _failure(name, suite, len(expected))
    expected = np.where(finite, expected, 0.0).astype("float64").reshape(len(expected), -1)
    difference = np.where(finite, found, 0.0).astype("float64").reshape(expected.shape) - expected
    scale = max(1.0, float(np.abs(expected).max(initial=0.0)))
    max_abs = float(np.abs(difference).max(initial=0.0))
    allowed = tolerance * scale
    if sensitivity is not None:
        allowed = max(allowed, min(_ROUNDINGS * sensitivity, _LIMIT * scale))
    flips = _label_flips(expected, expected + difference, allowed) if finite.ndim == 2 else 0
    return Comparison(
        output=name,
        suite=suite,
        samples=len(expected),
        max_abs=max_abs,
        rmse=float(np.sqrt(np.mean(difference**2))),
        cosine=_smallest_cosine(expected, expected + difference),
        scale=scale,
        allowed=allowed,
        sensitivity=sensitivity,
        nan_equal=True,
        label_flips=flips,
        passed=max_abs <= allowed and flips == 0,
    )


def _failure(name, suite, samples, error=""):
    return Comparison(
        *(name, suite, samples, math.inf, math.inf, 0.0, 1.0, 0.0, None, False, 0, False, error)
    )


def _label_flips(expected, found, allowed):
    if expected.shape[1] < 2:
        return 0
    second, first = np.sort(expected, axis=1)[:, -2:].T
    clear = first - second > 2 * allowed
    return int(np.sum(clear & (expected.argmax(axis=1) != found.argmax(axis=1))))


def _smallest_cosine(expected, found):
    lengths = np.linalg.norm(expected, axis=1) * np.linalg.norm(found, axis=1)
    products = np.sum(expected * found, axis=1)
    return float(np.where(lengths > 0, products / np.where(lengths > 0, lengths, 1), 1.0).min())


def _as_channels_last(value, shape):
    """Returns the value in Keras' layout, or None where it is neither that nor channels first."""
    if value is None or value.shape == shape:
        return value
    moved = np.moveaxis(value, 1, -1) if value.ndim > 2 else value
    return moved if moved.shape == shape else None


def _session(file, level, threads):
    options = onnxruntime.SessionOptions()
    options.graph_optimization_level = getattr(onnxruntime.GraphOptimizationLevel, level)
    options.intra_op_num_threads = threads
    options.log_severity_level = 3
    try:
        return onnxruntime.InferenceSession(
            serialize(file), options, providers=["CPUExecutionProvider"]
        )
    except Exception as error:  # onnxruntime's errors have no common class but this.
        raise ConversionError(f"onnxruntime cannot load the converted model: {error}") from error
