"""Starts the worker, which converts a Keras model to raw ONNX and computes reference outputs.

The worker is another process for three reasons. A model must give the same file on every backend.
Only TensorFlow computes in float64 without an option at its start. tf2onnx numbers its names within
a process, and a second conversion may therefore give another file. The worker runs
`export.convert.worker`.
"""

import contextlib
import json
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from concurrent.futures import Executor, Future
from dataclasses import dataclass
from pathlib import Path

import keras
import numpy as np
import onnx

from export.admit import onnx_file
from export.admit.prepare import Prepared
from export.compare.suites import Suite
from export.convert import exchange
from export.errors import ConversionError, ExportError, RefusedInputError
from export.options import ROUTES

# Hash order decides the order in which tf2onnx visits nodes; oneDNN changes folded constants.
_WORKER_ENVIRONMENT = {
    "PYTHONHASHSEED": "0",
    "CUDA_VISIBLE_DEVICES": "-1",
    "JAX_PLATFORMS": "cpu",
    "TF_CPP_MIN_LOG_LEVEL": "3",
    "TF_ENABLE_ONEDNN_OPTS": "0",
}


_LOOK = 0.02  # Seconds.


@dataclass(frozen=True)
class Conversion:
    """Results of the worker.

    Attributes:
        raw: The converter's `onnx.ModelProto`. Its inputs and outputs have the model's names.
        references: Outputs of the float64 model for each suite, or the reason why there are none.
        worker: The contents for `export.compare.seal.seal`, with which the worker ends.
    """

    raw: onnx.ModelProto
    references: list[list[np.ndarray]] | str
    worker: Future[bytes]


def convert(
    pool: Executor,
    prepared: Prepared,
    opset: int,
    suites: list[Suite],
    via: str = "tf2onnx",
    batch: int | None = None,
) -> Conversion:
    """Converts a model, and computes its reference outputs.

    Args:
        pool: Runs the worker in a thread.
        prepared: The model, saved and unpacked, in a folder that outlives the pool.
        opset: Integer from `export.runtimes.OPSETS`.
        suites: Inputs to compute reference outputs for.
        via: One of `export.options.ROUTES`.
        batch: Size of the file's batches, or `None` for an open axis.

    Raises:
        ConversionError, UnsupportedOperationError: If the converter fails.
    """
    folder = Path(tempfile.mkdtemp(dir=prepared.folder.parent))
    raw, stored, references, vectors = (
        folder / name for name in ("raw", "suites", "references", "vectors")
    )
    exchange.save_suites(stored, suites)
    conversion = ["--via", via, "--opset", str(opset), "--raw", str(raw)]
    conversion += [] if batch is None else ["--batch", str(batch)]
    reference = ["--suites", str(stored), "--references", str(references)]
    reference += ["--vectors", str(vectors)]

    def run():
        if ROUTES[via] == "tensorflow":
            run_worker("tensorflow", prepared, *conversion, *reference)
        else:
            run_worker(ROUTES[via], prepared, *conversion)
            run_worker("tensorflow", prepared, *reference)
        return vectors.read_bytes()

    worker = pool.submit(run)
    while not (references.exists() or worker.done()):  # They come before the vectors.
        time.sleep(_LOOK)
    if not references.exists():
        worker.result()
    try:
        graph = onnx_file.load(raw)
    except RefusedInputError as error:
        raise ConversionError(f"The converter wrote a damaged file: {error}") from error
    return Conversion(graph, exchange.load_outputs(references), worker)


def references(prepared: Prepared, suites: list[Suite]) -> list[list[np.ndarray]] | str:
    """Returns outputs of the float64 model, see `Conversion.references`."""
    with tempfile.TemporaryDirectory() as folder:
        stored, found, vectors = (Path(folder) / name for name in ("suites", "found", "vectors"))
        exchange.save_suites(stored, suites)
        paths = ["--suites", str(stored), "--references", str(found), "--vectors", str(vectors)]
        run_worker("tensorflow", prepared, *paths)
        return exchange.load_outputs(found)


def trace(prepared: Prepared, suite: Suite, names: list[str]) -> dict[str, np.ndarray]:
    """Returns values inside a model under TensorFlow, see `export.convert.trace`."""
    with tempfile.TemporaryDirectory() as folder:
        stored, wanted, values = (Path(folder) / name for name in ("suites", "names", "values"))
        exchange.save_suites(stored, [suite])
        wanted.write_text(json.dumps(names))
        paths = ["--suites", str(stored), "--names", str(wanted), "--values", str(values)]
        run_worker("tensorflow", prepared, *paths)
        with np.load(values) as arrays:
            return dict(arrays)


def run_worker(backend: str, prepared: Prepared, *arguments: str) -> None:
    """Runs `export.convert.worker` on a saved model, and raises its error if it has one."""
    with tempfile.TemporaryDirectory() as folder:
        failure = Path(folder) / "error.json"
        environment = _WORKER_ENVIRONMENT | {"KERAS_BACKEND": backend}
        known = [f"--error={failure}", f"--model-backend={keras.backend.backend()}"]
        worker = start_worker([str(prepared.folder), *known, *arguments], environment)
        if worker.returncode != 0:
            raise _error_of(worker, failure)


def start_worker(
    arguments: list[str], environment: dict[str, str]
) -> subprocess.CompletedProcess[str]:
    """Runs `export.convert.worker` to its end, with these arguments and environment variables."""
    with _lifeline() as lifeline:
        return subprocess.run(
            [sys.executable, "-P", "-m", "export.convert.worker", *arguments],
            stdin=lifeline,
            env={**os.environ, **environment, "PYTHONPATH": os.pathsep.join(sys.path)},
            capture_output=True,
            text=True,
        )


@contextlib.contextmanager
def _lifeline() -> Iterator[int]:
    """Yields the end of a pipe that stays open and empty as long as this process lives."""
    worker_end, own_end = os.pipe()
    try:
        yield worker_end
    finally:
        os.close(worker_end)
        os.close(own_end)


def _error_of(worker, failure):
    """Rebuilds the error that the worker stored. Any other end is a failed conversion."""
    try:
        error = json.loads(failure.read_text())
    except (OSError, ValueError):
        last_line = worker.stderr.strip().rpartition("\n")[2]
        return ConversionError(
            f"The conversion process ended with code {worker.returncode}. "
            f"Its last line: {last_line}"
        )
    kinds = {cls.__name__: cls for cls in _subclasses(ExportError)}
    return kinds[error["kind"]](error["message"])


def _subclasses(cls):
    for child in cls.__subclasses__():
        yield child
        yield from _subclasses(child)
