"""Measures files in turn, on this machine."""

import os
import time
from dataclasses import dataclass, replace

import numpy as np

from export.benchmark.fresh_start import fresh_start
from export.device import Predictor
from export.errors import RefusedInputError, UsageError

_ROUNDS = 15
_SECONDS = 0.1  # Of a file in each round.
_LABELS = "labels"  # As in `export.task`, which needs Keras.


@dataclass(frozen=True)
class Row:
    """What was measured of a file, with a number of threads and a size of batches.

    Attributes:
        file: Path.
        threads, batch: Threads and samples of one inference; 0 threads means all cores.
        size: Bytes of the file.
        load_ms: Milliseconds from the file to a session, in a fresh process.
        first_ms: Milliseconds of the first inference there.
        memory: Bytes by which that process grew at most, beyond onnxruntime itself.
        p50_ms, p99_ms: Half of the inferences take `p50_ms`, nearly all `p99_ms`.
        ratio: `p50_ms`, divided by that of the first file.
        difference: Largest difference from the outputs of the first file, as a share of its largest
            value, or `None` if the outputs have other shapes.
        accuracy: Percent of right answers, or what the task counts, if the data have them.
    """

    file: str
    threads: int
    batch: int
    size: int
    load_ms: float
    first_ms: float
    memory: float
    p50_ms: float = 0.0
    p99_ms: float = 0.0
    ratio: float = 1.0
    difference: float | None = 0.0
    accuracy: float | None = None


def benchmark(
    files: list[str],
    data: dict[str, np.ndarray] | None = None,
    threads: tuple[int, ...] = (1,),
    batches: tuple[int, ...] = (1,),
    providers: list[str] | None = None,
) -> list[Row]:
    """Measures files in turn: a `Row` for each file, number of threads and size of batches.

    Args:
        files: Paths of ONNX or `.ort` files of any exporter, with the same inputs.
        data: Arrays by the names of the inputs, as the files take them, and `labels`, the right
            answers. By default the inputs are random, in the range that the first file states.
        threads: Numbers of threads; 0 means all cores.
        batches: Sizes of batches. A file of another fixed size is left out.
        providers: Providers of onnxruntime, or `None` for the CPU.

    Raises:
        UsageError: If a path, an option or the data are wrong.
        RefusedInputError: If a file cannot be loaded, or fails on the inputs.
    """
    rows = []
    for count in threads:
        for batch in batches:
            chosen = [(path, _predictor(path, count, providers)) for path in files]
            chosen = [(path, p) for path, p in chosen if p.batch in (None, batch)]
            if not chosen:
                raise UsageError(f"No file takes batches of {batch}.")
            inputs = _inputs(chosen[0][1], data, batch)
            fresh = [fresh_start(path, count, inputs, providers) for path, _ in chosen]
            outputs = [_run(path, p, inputs) for path, p in chosen]
            times = _times([p for _, p in chosen], inputs)
            halves = [float(np.median(series)) for series in times]
            rows += [
                replace(
                    Row(path, count, batch, os.path.getsize(path), **fresh[i]),
                    p50_ms=halves[i],
                    p99_ms=float(np.percentile(times[i], 99)),
                    ratio=halves[i] / halves[0],
                    difference=_difference(outputs[0], outputs[i]),
                    accuracy=_accuracy(path, p, data),
                )
                for i, (path, p) in enumerate(chosen)
            ]
    return rows


def _predictor(path, threads, providers):
    try:
        return Predictor(path, threads, providers)
    except ValueError as error:
        kind = RefusedInputError if os.path.isfile(path) and not providers else UsageError
        raise kind(str(error)) from error


def _inputs(predictor, data, batch):
    """Returns one batch of the data, repeated to fill it, or of random numbers."""
    generator, (low, high) = np.random.default_rng(0), predictor.input_range
    inputs = {}
    for (name, shape), kind in zip(predictor.shapes.items(), predictor._types, strict=True):
        if data is not None:
            if name not in data or not len(data[name]):
                raise UsageError(f"The data must have samples of {name}. Received: {list(data)}")
            array = np.resize(data[name], (batch, *np.shape(data[name])[1:]))
        elif not all(isinstance(size, int) for size in shape):
            raise UsageError(f"The size of {name} is open, {shape}: pass --data with samples.")
        elif kind.startswith("float"):
            array = generator.uniform(low, high, (batch, *shape))
        else:
            array = np.zeros((batch, *shape))
        inputs[name] = array.astype(kind)
    return inputs


def _run(path, predictor, inputs):
    """Runs a file on inputs that belong to its own by name, or else by order."""
    named = set(inputs) == set(predictor.shapes)
    try:
        return predictor(inputs if named else list(inputs.values()))
    except ValueError as error:
        raise RefusedInputError(f"{path}: {error}") from error


def _times(predictors, inputs):
    """Times the files in turn, and returns the milliseconds of each."""
    times = [[] for _ in predictors]
    for _ in range(_ROUNDS):
        for predictor, series in zip(predictors, times, strict=True):
            arrays = zip(predictor.shapes, inputs.values(), predictor._types, strict=True)
            own = {name: array.astype(kind) for name, array, kind in arrays}
            predictor.run(own)  # The caches are the last file's.
            end = time.perf_counter() + _SECONDS
            while not series or time.perf_counter() < end:
                start = time.perf_counter()
                predictor.run(own)
                series.append(1e3 * (time.perf_counter() - start))
    return times


def _difference(first, second):
    pairs = list(zip(first.values(), second.values(), strict=False))
    if len(first) != len(second) or any(a.shape != b.shape for a, b in pairs):
        return None
    largest = max(float(np.abs(a).max(initial=0.0)) for a, _ in pairs) or 1.0
    return max(float(np.abs(a - b.astype(a.dtype)).max(initial=0.0)) for a, b in pairs) / largest


def _accuracy(path, predictor, data):
    if data is None or _LABELS not in data:
        return None
    try:
        from export.task import Task
    except ModuleNotFoundError as error:
        raise UsageError(f"Right answers are counted with {error.name}. Install it.") from error
    count, size, scores = len(data[_LABELS]), predictor.batch or 32, []
    for start in range(0, count, size):
        part = {name: data[name][start : start + size] for name in data if name != _LABELS}
        inputs = _inputs(predictor, part, predictor.batch or len(next(iter(part.values()))))
        outputs = _run(path, predictor, inputs)
        scores.append(outputs.get("scores", next(iter(outputs.values())))[: count - start])
    task, found = Task(predictor.task, predictor.threshold), np.concatenate(scores)
    return task.score(task.answers(found), task.truth(np.asarray(data[_LABELS]), found.shape))


def threads_of(row: Row) -> str:
    """Returns the number of threads in words."""
    return f"{row.threads or 'all'} thread{'' if row.threads == 1 else 's'}"
