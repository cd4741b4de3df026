"""Measures the start of a file, in a process that has run no other."""

import json
import os
import re
import resource
import subprocess
import sys
import time
from pathlib import Path

import numpy as np

from export.device import Predictor
from export.errors import RefusedInputError, printable

_STATUS = Path("/proc/self/status")


def fresh_start(
    path: str, threads: int, inputs: dict[str, np.ndarray], providers: list[str] | None
) -> dict[str, float]:
    """Starts a process that loads a file and runs it once, on zeros of the shapes of the inputs.

    Returns:
        `load_ms` and `first_ms`, and `memory`, the bytes by which the process grew at most.

    Raises:
        RefusedInputError: If the file does not run.
    """
    kinds = [[array.shape, array.dtype.name] for array in inputs.values()]
    process = subprocess.run(
        [sys.executable, "-P", "-m", "export.benchmark.fresh_start"],
        input=json.dumps([str(path), threads, providers, kinds]),
        env={**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)},
        capture_output=True,
        text=True,
    )
    try:
        return json.loads(process.stdout)
    except ValueError as error:
        last = printable(process.stderr.strip().rpartition("\n")[2])
        raise RefusedInputError(f"{path} does not run in a fresh process: {last}") from error


def _start(path, threads, providers, kinds):
    before, start = _peak(), time.perf_counter()
    predictor = Predictor(path, threads, providers)
    loaded = time.perf_counter()
    arrays = [np.zeros(shape, kind) for shape, kind in kinds]
    predictor.run(dict(zip(predictor.shapes, arrays, strict=True)))
    first = time.perf_counter()
    times = {"load_ms": 1e3 * (loaded - start), "first_ms": 1e3 * (first - loaded)}
    return times | {"memory": _peak() - before}


def _peak():
    """Returns the most bytes that this process has held."""
    if _STATUS.exists():  # The other figure is that of the process that started this one.
        found = re.search(r"VmHWM:\s+(\d+) kB", _STATUS.read_text())
        return int(found[1]) << 10 if found else 0
    size = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return size if sys.platform == "darwin" else size << 10


if __name__ == "__main__":
    print(json.dumps(_start(*json.load(sys.stdin))))
