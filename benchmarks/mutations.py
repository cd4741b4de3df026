"""Plants single faults in the files of ten models, and counts those that `export.compare` misses.

    python -m benchmarks.mutations
    python -m benchmarks.mutations --faults 60 --models perceptron recurrent

A fault's effect is the largest difference that it makes to an output, in units of the model's own
rounding there: its distance from the same model in float64, at least half a unit in the last place
of the largest output. It is measured on a thousand inputs that the model accepts, of both signs and
several scales, none of which the comparison tries, and on real inputs where there are any. Faults
that change no bit there count as faults without effect.
"""

import argparse
import itertools
import tempfile
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import keras
import numpy as np
import onnx

from benchmarks import faults, results, studied_models
from export import keras_model
from export.admit.prepare import prepare
from export.any_file import Known, judge_file, known_model
from export.compare.accepted import accepted
from export.compare.run import run_keras, run_onnx, session
from export.compare.suites import Suite
from export.convert.reference import float64_outputs
from export.convert.start import references
from export.errors import ExportError
from export.options import ExportOptions
from export.results import Kind
from tests.converted import converted

BIG = 10
"""Roundings from which on an effect must be noticed."""
_SAMPLES = 256


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    names = list(studied_models.MODELS)
    parser.add_argument("--faults", type=int, default=400, help="number of faults in all")
    parser.add_argument("--models", nargs="+", default=names, choices=names)
    parser.add_argument("--seed", type=int, default=0)
    results.add_options(parser, "mutations")
    options = parser.parse_args()
    found = []
    for name in options.models:
        start = time.perf_counter()
        of_model = study(name, options.faults // len(options.models), options.seed)
        for fault in of_model:
            if not fault.caught and fault.legal > BIG:
                print(f"missed: {fault}")
        caught = sum(bool(fault.caught) for fault in of_model)
        seconds = time.perf_counter() - start
        print(f"{name}: {caught} of {len(of_model)} caught, {seconds:.0f} s", flush=True)
        found += of_model
    results.publish(rows(found), ["fault"], options)


@dataclass(frozen=True)
class Fault:
    """A planted fault.

    Attributes:
        model: Name of the model.
        kind: Kind of the fault, one of `faults.KINDS`.
        place: Name of what was changed.
        legal: Largest effect on inputs that the model accepts, in roundings.
        real: Largest effect on real inputs, in roundings.
        caught: What failed: `"outputs"`, `"layers"` compared alone, or nothing, `""`.
    """

    model: str
    kind: str
    place: str
    legal: float
    real: float
    caught: str


def study(name: str, count: int, seed: int = 0, float64: Callable = references) -> list[Fault]:
    """Plants so many faults in the file of a model, and compares each with the model.

    Args:
        name: Name of the model.
        count: Number of faults.
        seed: Seed of the faults.
        float64: Function like `export.convert.start.references`.
    """
    model, real = studied_models.build(name)
    file, options = converted(model), ExportOptions()
    with tempfile.TemporaryDirectory() as folder:
        prepared = prepare(model, Path("none.onnx"), Path(folder), options)
        known = known_model(prepared, options, float64)
        if not judge_file(known, file).passed:
            raise ValueError(f"The right file of the model {name!r} fails.")
        measured = Measured(model, file, legal_inputs(model), real)
        return [
            Fault(name, kind, place, *effects, caught_by(known, wrong))
            for kind, place, wrong, effects in itertools.islice(planted(measured, seed), count)
        ]


def caught_by(known: Known, file: onnx.ModelProto) -> str:
    """Returns what `export.compare` says of a file, as `Fault.caught` has it."""
    try:
        verdict = judge_file(known, file)
    except ExportError:  # onnxruntime cannot load the file.
        return "outputs"
    if not verdict.candidate.passed:
        return "outputs"
    return "" if verdict.passed else "layers"


def planted(measured: "Measured", seed: int) -> Iterator[tuple]:
    """Yields files with faults, kind after kind, as long as there are any that run."""
    generator = np.random.default_rng(seed)
    pending = {kind: faults.planted(measured.file, kind, generator) for kind in faults.KINDS}
    while pending:
        for kind, files in list(pending.items()):
            runs = ((place, wrong, measured.effects(wrong)) for place, wrong in files)
            fault = next((entry for entry in runs if entry[-1] is not None), None)
            if fault is None:
                del pending[kind]
            else:
                yield kind, *fault


class Measured:
    """The effects of faults in a file."""

    def __init__(self, model: keras.Model, file: onnx.ModelProto, legal, real):
        self.model, self.file = model, file
        self.names = keras_model.output_names(model)
        self.suites = legal + ([] if real is None else [Suite(Kind.REAL, [real], len(real))])
        self.right = self._outputs(file)
        truths = float64_outputs(model, self.suites)
        self.roundings = [
            [_rounding(*pair) for pair in zip(run_keras(model, suite), truth, strict=True)]
            for suite, truth in zip(self.suites, truths, strict=True)
        ]

    def _outputs(self, file):
        runner = session(file, optimize=False, threads=1)
        return [run_onnx(runner, self.model, self.names, suite) for suite in self.suites]

    def effects(self, wrong: onnx.ModelProto) -> tuple[float, float] | None:
        """Returns the largest effects of a fault on legal and on real inputs, in roundings.

        It is `None` if onnxruntime cannot run the file, or if a shape differs: no one misses it.
        """
        try:
            found = self._outputs(wrong)
        except Exception:  # onnxruntime's errors have no other common class.
            return None
        shapes = [[array.shape for array in outputs] for outputs in found]
        if shapes != [[array.shape for array in outputs] for outputs in self.right]:
            return None
        legal, real = [0.0], [0.0]
        for suite, *outputs in zip(self.suites, self.right, found, self.roundings, strict=True):
            effects = itertools.starmap(_effect, zip(*outputs, strict=True))
            (real if suite.kind is Kind.REAL else legal).extend(effects)
        return max(legal + real), max(real)


def _rounding(output, truth):
    return max(float(np.abs(output - truth).max()), 2.0**-24 * float(np.abs(truth).max()))


def _effect(right, wrong, rounding):
    same = (right == wrong) | (np.isnan(right) & np.isnan(wrong))
    difference = np.where(same, 0.0, np.abs(wrong.astype("float64") - right))
    return float(np.nan_to_num(difference, nan=np.inf, posinf=np.inf).max()) / rounding


def legal_inputs(model: keras.Model) -> list[Suite]:
    """Returns inputs that a model accepts, of both signs and several scales."""
    generator = np.random.default_rng(7)

    def drawn(make):
        arrays = []
        for tensor, entry in zip(model.inputs, accepted(model), strict=True):
            size = (_SAMPLES, *tensor.shape[1:])
            whole = generator.integers(int(entry.low), int(entry.high) + 1, size)
            arrays.append((whole if entry.whole else make(size)).astype(tensor.dtype))
        return Suite(Kind.RANDOM, arrays, _SAMPLES)

    return [
        drawn(lambda size: generator.uniform(0, 1, size)),
        drawn(lambda size: generator.normal(size=size)),
        drawn(lambda size: 3 * generator.normal(size=size)),
        drawn(lambda size: generator.normal(size=size) * (generator.uniform(size=size) < 0.1)),
    ]


def rows(found: list[Fault]) -> list[dict]:
    """Returns the table by kind of fault."""
    kinds = [kind for kind in faults.KINDS if any(fault.kind == kind for fault in found)]
    lines = [(kind, [fault for fault in found if fault.kind == kind]) for kind in kinds]
    return [_row(*line) for line in [*lines, ("all", found)]]


def _row(kind, found):
    effective = [fault for fault in found if fault.legal > 0]
    missed = [fault for fault in effective if not fault.caught]
    return {
        "fault": kind,
        "planted": len(found),
        "without effect": len(found) - len(effective),
        "caught by outputs": sum(fault.caught == "outputs" for fault in effective),
        "by layers": sum(fault.caught == "layers" for fault in effective),
        "missed": len(missed),
        f"missed above {BIG} roundings": sum(fault.legal > BIG for fault in missed),
        "largest effect missed": max((fault.legal for fault in missed), default=0.0),
        "on real data": max((fault.real for fault in missed), default=0.0),
    }


if __name__ == "__main__":
    main()
