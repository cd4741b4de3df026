"""Compares right files of many kinds of models with the models, and counts those it refuses.

    python -m benchmarks.false_alarms
    python -m benchmarks.false_alarms --kinds "u nets" transformers --count 2

Every second model is trained for a moment, on targets drawn at random, with large steps. A file is
converted in this process as an export does it, and compared as `export.compare` does. The shares
are of the allowed difference: one that reaches 1 would be refused.
"""

import argparse
import tempfile
import time
from dataclasses import dataclass
from pathlib import Path

import keras
import numpy as np

from benchmarks import results, right_models
from export import keras_model
from export.admit.prepare import Prepared, prepare
from export.any_file import judge_file, known_model
from export.compare.accepted import random_inputs
from export.compare.open_axes import choose_open_axes
from export.compare.suites import Suite
from export.convert import patches
from export.convert.reference import float64_outputs
from export.options import ExportOptions
from tests.converted import converted

_UNTRAINED = ("decisions",)  # They have no gradient.
_STEPS = 6
_RATE = 1e-2


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    kinds = list(right_models.KINDS)
    parser.add_argument("--kinds", nargs="+", default=kinds, choices=kinds)
    parser.add_argument("--count", type=int, default=12, help="models of each kind")
    parser.add_argument("--first", type=int, default=0, help="number of the first model")
    results.add_options(parser, "false_alarms")
    options = parser.parse_args()
    rows = []
    for kind in options.kinds:
        start, numbers = time.perf_counter(), range(options.first, options.first + options.count)
        found = [judge(kind, number) for number in numbers]
        rows.append(row(kind, found))
        print(f"{rows[-1]}, {time.perf_counter() - start:.0f} s", flush=True)
    results.publish([*rows, total(rows)], ["kind"], options)


@dataclass(frozen=True)
class Judged:
    """A right file that was compared.

    Attributes:
        passed: Whether the file passed.
        outputs: Largest difference of an output, as a share of the allowed one.
        layers: Largest difference of a layer compared alone, likewise.
        compared: Share of the layers that were compared alone.
    """

    passed: bool
    outputs: float
    layers: float
    compared: float


def judge(kind: str, number: int) -> Judged:
    """Makes a model and its file, and compares them."""
    keras.backend.clear_session()
    keras.utils.set_random_seed(number)
    model = right_models.KINDS[kind](np.random.default_rng(number), number)
    if number % 2 and kind not in _UNTRAINED:
        train(model)
    options = ExportOptions()
    with tempfile.TemporaryDirectory() as folder, patches.convolutions_on_cpus():
        prepared = prepare(model, Path(folder, "none.onnx"), Path(folder), options)
        file = converted(prepared.model)
        known = known_model(prepared, options, float64_here)
        verdict = judge_file(known, file)
    shares = [entry.max_abs / entry.allowed for entry in verdict.candidate.comparisons]
    alone = [part.error for part in verdict.parts if part.error is not None]
    if not verdict.passed:
        print(f"refused: {kind} {number}")
        failed = [part for part in verdict.parts if not part.passed]
        failed += [entry for entry in verdict.candidate.comparisons if not entry.passed]
        print(*failed, sep="\n")
    compared = len(alone) / max(1, len(verdict.parts))
    return Judged(verdict.passed, max(shares), max(alone, default=0.0), compared)


def float64_here(prepared: Prepared, suites: list[Suite]) -> list[list[np.ndarray]] | str:
    """Does what `export.convert.start.references` does, but in this process."""
    return float64_outputs(prepared.model, suites)


def train(model: keras.Model) -> None:
    """Moves the weights by a few large steps towards targets drawn at random."""
    generator = np.random.default_rng(0)
    axes = choose_open_axes(model)
    inputs = random_inputs(model, axes.shapes(model, axes.sizes[-1]), samples=16)
    outputs = keras_model.call(model, [keras.ops.convert_to_tensor(array) for array in inputs])
    real = [output for output in outputs if keras.backend.is_float_dtype(output.dtype)]
    if not real or not model.trainable_variables:
        return
    targets = [generator.uniform(size=output.shape) * np.abs(output).max() for output in outputs]
    model.compile(keras.optimizers.Adam(_RATE), ["mse"] * len(outputs), run_eagerly=True)
    packed = inputs if len(inputs) > 1 else inputs[0]
    for _ in range(_STEPS):
        model.train_on_batch(packed, targets if len(targets) > 1 else targets[0])


def row(kind: str, found: list[Judged]) -> dict:
    """Returns the line of a kind."""
    return {
        "kind": kind,
        "models": len(found),
        "refused": sum(not entry.passed for entry in found),
        "largest share, outputs": max(entry.outputs for entry in found),
        "largest share, layers": max(entry.layers for entry in found),
        "layers compared alone": float(np.mean([entry.compared for entry in found])),
    }


def total(rows: list[dict]) -> dict:
    """Returns the last line."""
    counts = {name: sum(entry[name] for entry in rows) for name in ("models", "refused")}
    largest = {name: max(entry[name] for entry in rows) for name in list(rows[0])[3:5]}
    mean = float(np.mean([entry["layers compared alone"] for entry in rows]))
    return {"kind": "all", **counts, **largest, "layers compared alone": mean}


if __name__ == "__main__":
    main()
