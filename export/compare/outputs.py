"""Compares the outputs of a Keras model with those of its file.

Both run on batches of several sizes with ordinary and extreme values. The file runs with
onnxruntime's optimizations on and off, and on one thread and many. It passes if four conditions
hold in every case: the outputs agree within the tolerance, they are finite and infinite at the same
positions, they name the same label wherever the model can distinguish the labels, and a second run
of the first suite gives the same outputs.
"""

import functools
import itertools
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from types import MappingProxyType

import keras
import numpy as np
import onnx

from export import keras_model
from export.compare.run import run_keras, run_onnx, session
from export.compare.suites import Suite, is_large
from export.compare.tolerance import allowed_difference, roundings, scale_of, scales
from export.results import Comparison, Kind, SuiteKey

SESSIONS = tuple(itertools.product((False, True), (1, 0)))
"""Pairs: whether the session optimizes, and its number of threads, where 0 means all cores."""
SESSIONS_OF_LARGE = (SESSIONS[0], SESSIONS[-1])
"""Pairs for a model that `suites.is_large`. Both properties change at once."""
BLUNT = 0.1
"""Tolerance, times the scale of an output, from which a comparison says little."""


@dataclass(frozen=True)
class Candidate:
    """File that may be written, with the results of its comparison.

    Attributes:
        file: The canonical file.
        content: Bytes of the file.
        comparisons: A `Comparison` for each output and suite.
    """

    file: onnx.ModelProto
    content: bytes
    comparisons: list[Comparison]

    @property
    def passed(self) -> bool:
        """Whether every comparison passed."""
        return all(entry.passed for entry in self.comparisons)

    @property
    def worst(self) -> Comparison:
        """The comparison with the worst result."""
        return max(self.comparisons, key=lambda entry: (not entry.passed, entry.relative))

    @property
    def warnings(self) -> list[str]:
        """A warning for each output whose comparison says little on all ordinary inputs."""
        ordinary: dict[str, list[Comparison]] = {}
        for entry in self.comparisons:
            if entry.suite.kind in (Kind.RANDOM, Kind.REAL):
                ordinary.setdefault(entry.output, []).append(entry)
        found = []
        for name, entries in ordinary.items():
            if all(entry.allowed >= BLUNT * entry.scale for entry in entries):
                share = 100 * min(entry.rounding / entry.scale for entry in entries)
                found.append(
                    f"The comparison says little about the output {name!r}: rounding alone changes "
                    f"it by {share:.0f} % of its largest value. If a softmax or sigmoid ends the "
                    "model, export it without."
                )
        return found


@dataclass(frozen=True)
class Case:
    """A suite, with what is known of the model's outputs: see the arguments of `compare_arrays`."""

    suite: Suite
    expected: list[np.ndarray]
    roundings: list[float]
    scales: list[float]


def cases_of(
    model: keras.Model,
    suites: list[Suite],
    expected: list[list[np.ndarray]],
    references: list[list[np.ndarray]] | str,
    nearby: Mapping[int, list[list[np.ndarray]]] = MappingProxyType({}),
) -> list[Case]:
    """Returns a case for each suite, for any number of files.

    Args:
        model: The Keras model, on any backend.
        suites: The inputs.
        expected: Outputs of the model for each suite.
        references: Outputs of the float64 model for each suite, or the reason why there are none.
        nearby: Outputs for inputs close to these, as far as they are known, see `roundings`.
    """
    errors = roundings(model, suites, expected, references, nearby)
    cases = zip(suites, expected, errors, scales(suites, expected), strict=True)
    return [Case(*case) for case in cases]


def compare_cases(model: keras.Model, file: onnx.ModelProto, cases: list[Case]) -> list[Comparison]:
    """Compares a model with its ONNX file.

    Args:
        model: The Keras model, on any backend.
        file: Its conversion.
        cases: Result of `cases_of`.

    Returns:
        A `Comparison` for each output and suite.
    """
    names = keras_model.output_names(model)

    def in_session(optimize, threads):
        runner, entries = session(file, optimize, threads), []
        for number, case in enumerate(cases):
            run = functools.partial(run_onnx if number else _run_twice, runner, model, names)
            entries += compare_case(run, names, case)
        return entries

    # One after the other, because each session needs memory for the weights and every value.
    settings = SESSIONS_OF_LARGE if is_large(model) else SESSIONS
    entries = [in_session(*setting) for setting in settings]
    return [
        max(same, key=lambda entry: (not entry.passed, entry.max_abs))
        for same in zip(*entries, strict=True)
    ]


def compare_scores(
    model: keras.Model, file: onnx.ModelProto, suite: Suite, comparisons: list[Comparison]
) -> Comparison:
    """Compares only the scores, in one run as on a device: optimized, on all threads.

    It is for more samples than `compare_cases` could run in every setting and store with all
    outputs.

    Args:
        model: The Keras model.
        file: Its conversion.
        suite: The inputs.
        comparisons: Results of `compare_cases`, with the model's rounding on its real inputs.
    """
    name = keras_model.output_names(model)[keras_model.scored_output(model)]
    real = next(
        entry for entry in comparisons if entry.output == name and entry.suite.kind is Kind.REAL
    )
    expected = run_keras(keras_model.scored_model(model), suite)
    run = functools.partial(run_onnx, session(file, *SESSIONS[-1]), model, [name])
    return next(compare_case(run, [name], Case(suite, expected, [real.rounding], [real.scale])))


def compare_case(run: Callable, names: list[str], case: Case) -> Iterator[Comparison]:
    """Yields a `Comparison` for each output, even if onnxruntime cannot run the file."""
    key = case.suite.key
    try:
        outputs = run(case.suite)
    except Exception as error:  # onnxruntime's errors have no other common class.
        yield from (Comparison(name, key, error=str(error)) for name in names)
        return
    arrays = zip(names, case.expected, outputs, case.roundings, case.scales, strict=True)
    for name, expected, output, rounding, scale in arrays:
        yield compare_arrays(name, key, expected, output, rounding, scale)


def compare_arrays(
    name: str,
    suite: SuiteKey,
    expected: np.ndarray,
    output: np.ndarray,
    rounding: float,
    scale: float = 0.0,
) -> Comparison:
    """Compares one output.

    Args:
        name: Name of the output.
        suite: Key of the inputs.
        expected: The model's output.
        output: The file's output.
        rounding: The model's rounding error.
        scale: Scale of the output on ordinary inputs, if it is larger than on these.
    """
    if expected.shape != output.shape or expected.dtype != output.dtype:
        return Comparison(name, suite, sample=0)
    finite = np.isfinite(expected)
    not_finite = [np.where(np.isfinite(array), 0.0, array) for array in (expected, output)]
    if not np.array_equal(*not_finite, equal_nan=True):
        same = np.isclose(*not_finite, equal_nan=True).reshape(len(expected), -1).all(axis=1)
        return Comparison(name, suite, sample=int(same.argmin()))
    expected = np.where(finite, expected, 0.0).astype("float64").reshape(len(expected), -1)
    difference = np.where(finite, output, 0.0).astype("float64").reshape(expected.shape) - expected
    scale = max(scale, scale_of(expected))
    errors = np.abs(difference).max(axis=1, initial=0.0)
    max_abs = float(errors.max())
    allowed = allowed_difference(rounding, scale)
    flips = _label_flips(expected, expected + difference, allowed) if finite.ndim == 2 else 0
    return Comparison(
        output=name,
        suite=suite,
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


def _run_twice(session, model, names, suite):
    """Returns the file's outputs if two runs give the same ones."""
    first, second = (run_onnx(session, model, names, suite) for _ in range(2))
    for name, *pair in zip(names, first, second, strict=True):
        if not np.array_equal(*pair, equal_nan=True):
            raise ValueError(f"two runs on the same inputs differ in the output {name}")
    return first


def _label_flips(expected, output, allowed):
    if expected.shape[1] < 2:
        return 0
    second, first = np.sort(expected, axis=1)[:, -2:].T
    clear = first - second > 2 * allowed
    return int(np.sum(clear & (expected.argmax(axis=1) != output.argmax(axis=1))))


def _smallest_cosine(expected, output):
    lengths = np.linalg.norm(expected, axis=1) * np.linalg.norm(output, axis=1)
    products = np.sum(expected * output, axis=1)
    return float(np.where(lengths > 0, products / np.where(lengths > 0, lengths, 1), 1.0).min())
