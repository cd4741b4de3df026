"""Keras against onnxruntime: the same inputs through both, and the difference measured.

Batches of several sizes, ordinary and extreme values, with onnxruntime's optimizations on and off
and on one thread and many. The file passes if in every case the outputs agree to the tolerance,
are finite and infinite in the same places, name the same label wherever the model itself can tell
the labels apart, and come out the same when run again.

The tolerance is derived. The model's own rounding error is measured against its float64 twin on
the same inputs; a file that sums in another order may differ by a few times that, and by no more.
A model without such a twin, because a layer of its own insists on float32, gets a fixed tolerance.
"""

import functools
import itertools
import math
from dataclasses import dataclass

import keras
import numpy as np
import onnx
import onnxruntime

from export import source
from export.errors import ConversionError
from export.suites import Suite, in_batches, last_bits_changed, run_keras
from export.tidy import serialize

ROUNDINGS = 8
"""How many times the model's own rounding error a file may differ from it."""
FLOOR = 1e-6
"""Smallest tolerance, times the scale of the output: where the model happens not to round."""
LIMIT = 1e-4
"""Largest tolerance, times the scale of the output, however much the model itself rounds."""
WITHOUT_TWIN = 1e-5
"""Tolerance, times the scale of the output, where the rounding error cannot be measured."""
TOLERANCE = {"roundings": ROUNDINGS, "floor": FLOOR, "limit": LIMIT}

SESSIONS = tuple(
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
        rounding: Largest absolute difference of the model from its float64 twin, on these inputs
            or on the random ones, whichever is larger; on huge inputs also with the last bit of
            each changed. `None` where it has no twin.
        allowed: Largest absolute difference that passes: `ROUNDINGS * rounding`, but no less than
            `FLOOR * scale` and no more than `LIMIT * scale`; `WITHOUT_TWIN * scale` where it has
            no twin.
        nan_equal: Whether both are NaN, and infinite, in the same places.
        label_flips: Samples whose largest score is another, although the model's two largest
            differ by more than twice what is allowed. Zero for outputs that are no scores.
        sample: Number of the sample that is furthest off, or `None` where none was run.
        passed: Whether the file may be written.
        error: What onnxruntime said where it could not run the file, or empty.
    """

    output: str
    suite: str
    samples: int
    max_abs: float = math.inf
    rmse: float = math.inf
    cosine: float = 0.0
    scale: float = 1.0
    rounding: float | None = None
    allowed: float = 0.0
    nan_equal: bool = False
    label_flips: int = 0
    sample: int | None = None
    passed: bool = False
    error: str = ""


def compare(
    model: keras.Model,
    file: onnx.ModelProto,
    suites: list[Suite],
    references: list[list[np.ndarray]] | str,
) -> list[Comparison]:
    """Compares a model with its ONNX file.

    Args:
        model: The Keras model, on any backend.
        file: Its conversion.
        suites: The inputs.
        references: Outputs of the model's float64 twin for each suite, or why it has none.

    Returns:
        A `Comparison` for each output and suite.
    """
    names = source.output_names(model)
    expected = [run_keras(model, suite) for suite in suites]
    errors = roundings(model, suites, expected, references)
    cases = list(zip(suites, expected, errors, strict=True))

    def in_session(level, threads):
        run = functools.partial(_run_twice, session(file, level, threads), model, names)
        return [entry for case in cases for entry in _compare_suite(run, names, *case)]

    # One after the other: each session holds the weights, and memory for every value.
    found = [in_session(*setting) for setting in SESSIONS]
    return [max(same, key=lambda c: (not c.passed, c.max_abs)) for same in zip(*found, strict=True)]


def compare_scores(
    model: keras.Model, file: onnx.ModelProto, suite: Suite, comparisons: list[Comparison]
) -> Comparison:
    """Compares the scores alone, in one run as a device makes it: optimized, on all threads.

    For more samples than `compare` could run so often, and than could be kept with all outputs.

    Args:
        model: The Keras model.
        file: Its conversion.
        suite: The inputs.
        comparisons: Those of `compare`; on its real inputs it measured the model's rounding.
    """
    names = [source.output_names(model)[source.scored_output(model)]]
    (rounding,) = (c.rounding for c in comparisons if (c.output, c.suite) == (*names, "real"))
    expected = run_keras(source.scored_model(model), suite)
    run = functools.partial(run_onnx, session(file, *SESSIONS[-1]), model, names)
    return next(_compare_suite(run, names, suite, expected, [rounding]))


def _compare_suite(run, names, suite, expected, roundings):
    """Yields a `Comparison` for each output, also where onnxruntime cannot run the file."""
    try:
        found = run(suite)
    except Exception as error:  # onnxruntime's errors have no common class but this.
        samples = len(suite.inputs[0])
        yield from (Comparison(name, suite.name, samples, error=str(error)) for name in names)
        return
    for name, *arrays, rounding in zip(names, expected, found, roundings, strict=True):
        yield compare_arrays(name, suite.name, *arrays, rounding)


def tolerance_in_words(references: list[list[np.ndarray]] | str) -> str:
    """Says where the tolerance comes from."""
    if isinstance(references, str):
        return (
            f"{WITHOUT_TWIN:.0e} times the largest output above 1, since the model's rounding "
            f"cannot be measured: it does not run in float64 ({references})"
        )
    return (
        f"{ROUNDINGS} times the model's own rounding, measured against float64 on the same "
        f"inputs, but from {FLOOR:.0e} to {LIMIT:.0e} times the largest output above 1"
    )


def compare_arrays(name, suite, expected, found, rounding) -> Comparison:
    """Compares one output; `rounding` is the model's own rounding error, or `None`."""
    same_shape = expected.shape == found.shape and expected.dtype == found.dtype
    if not same_shape:
        return Comparison(name, suite, len(expected), sample=0)
    finite = np.isfinite(expected)
    places = [np.where(np.isfinite(array), 0.0, array) for array in (expected, found)]
    if not np.array_equal(*places, equal_nan=True):
        same = np.isclose(*places, equal_nan=True).reshape(len(expected), -1).all(axis=1)
        return Comparison(name, suite, len(expected), sample=int(same.argmin()))
    expected = np.where(finite, expected, 0.0).astype("float64").reshape(len(expected), -1)
    difference = np.where(finite, found, 0.0).astype("float64").reshape(expected.shape) - expected
    scale = scale_of(expected)
    errors = np.abs(difference).max(axis=1, initial=0.0)
    max_abs = float(errors.max())
    allowed = allowed_difference(rounding, scale)
    flips = _label_flips(expected, expected + difference, allowed) if finite.ndim == 2 else 0
    return Comparison(
        output=name,
        suite=suite,
        samples=len(expected),
        max_abs=max_abs,
        rmse=float(np.sqrt(np.mean(difference**2))),
        cosine=_smallest_cosine(expected, expected + difference),
        scale=scale,
        rounding=rounding,
        allowed=allowed,
        nan_equal=True,
        label_flips=flips,
        sample=int(errors.argmax()),
        passed=max_abs <= allowed and flips == 0,
    )


def run_onnx(session, model, outputs, suite) -> list[np.ndarray]:
    """Runs the file on the inputs of a suite."""
    names = source.input_names(model)
    return in_batches(
        lambda batch: session.run(outputs, dict(zip(names, batch, strict=True))), suite
    )


def session(file: onnx.ModelProto, level: str, threads: int) -> onnxruntime.InferenceSession:
    """Loads a file; `level` names onnxruntime's optimizations, 0 threads are all cores."""
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


def _run_twice(session, model, names, suite):
    """Returns what the file gives, if it gives it twice."""
    first, second = (run_onnx(session, model, names, suite) for _ in range(2))
    for name, *pair in zip(names, first, second, strict=True):
        if not np.array_equal(*pair, equal_nan=True):
            raise ValueError(f"two runs on the same inputs differ in the output {name}")
    return first


def allowed_difference(rounding: float | None, scale: float) -> float:
    """Returns the largest absolute difference that passes, see `Comparison`."""
    if rounding is None:
        return WITHOUT_TWIN * scale
    return min(max(ROUNDINGS * rounding, FLOOR * scale), LIMIT * scale)


def scale_of(array: np.ndarray) -> float:
    """Returns `max(1, max(abs(array)))` over the finite values."""
    return max(1.0, float(np.abs(array[np.isfinite(array)]).max(initial=0.0)))


def roundings(
    model: keras.Model,
    suites: list[Suite],
    expected: list[list[np.ndarray]],
    references: list[list[np.ndarray]] | str,
) -> list[list[float | None]]:
    """Returns the model's rounding error in each output, for each suite, see `Comparison`."""
    if isinstance(references, str):
        return [[None] * len(outputs) for outputs in expected]
    own = [list(map(_error, *pair)) for pair in zip(expected, references, strict=True)]
    for number, suite in enumerate(suites):
        # Votes decide by differences as small as their rounding: one run may be right by chance.
        for seed in range(4) if "huge" in suite.name else ():
            again = run_keras(model, last_bits_changed(suite, seed))
            own[number] = list(map(max, own[number], map(_error, again, references[number])))
    own = np.array(own)
    ordinary = own[["random" in suite.name for suite in suites]].max(axis=0)
    return np.maximum(own, ordinary).tolist()


def _error(found, expected):
    with np.errstate(invalid="ignore"):  # Infinity minus infinity.
        error = np.abs(found.astype("float64") - expected)
    return np.where(np.isfinite(error), error, 0.0).max(initial=0.0)


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
