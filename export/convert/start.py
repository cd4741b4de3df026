"""Starts the other process: from a Keras model to raw ONNX and to its reference outputs.

The process is another one because one model must give one file whichever backend asks for it,
because only TensorFlow computes in float64 without being told so at its start, and because tf2onnx
numbers the names it gives within a process, so that a second conversion in it may give another
file. `export.convert.worker` runs in it.
"""

import contextlib
import json
import os
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import onnx

from export.admit import onnx_file
from export.admit.prepare import Prepared
from export.compare.suites import Suite
from export.convert import exchange
from export.errors import ConversionError, ExportError, RefusedInputError
from export.options import ROUTES

# Hash order decides in which order tf2onnx meets nodes, and oneDNN how constants are folded.
_WORKER_ENVIRONMENT = {
    "PYTHONHASHSEED": "0",
    "CUDA_VISIBLE_DEVICES": "-1",
    "JAX_PLATFORMS": "cpu",
    "TF_CPP_MIN_LOG_LEVEL": "3",
    "TF_ENABLE_ONEDNN_OPTS": "0",
}


@dataclass(frozen=True)
class Conversion:
    """The results of the other process.

    Attributes:
        raw: The converter's `onnx.ModelProto`, whose inputs and outputs carry the model's names.
        references: Outputs of the model's float64 model for each suite, or why there is none.
        vectors: Contents for `export.compare.seal.seal`.
    """

    raw: onnx.ModelProto
    references: list[list[np.ndarray]] | str
    vectors: bytes


def convert(
    prepared: Prepared,
    opset: int,
    suites: list[Suite],
    via: str = "tf2onnx",
    batch: int | None = None,
) -> Conversion:
    """Converts a model, and computes what it should return.

    Args:
        prepared: The model, saved and unpacked.
        opset: Integer out of `export.runtimes.OPSETS`.
        suites: Inputs to compute reference outputs for.
        via: One of `export.options.ROUTES`.
        batch: Size of the file's batches, or `None` for an open axis.

    Raises:
        ConversionError, UnsupportedOperationError: If the converter fails.
    """
    with tempfile.TemporaryDirectory() as folder:
        raw, stored, references, vectors = (
            Path(folder) / name for name in ("raw", "suites", "references", "vectors")
        )
        exchange.save_suites(stored, suites)
        conversion = ["--via", via, "--opset", str(opset), "--raw", str(raw)]
        conversion += [] if batch is None else ["--batch", str(batch)]
        reference = ["--suites", str(stored), "--references", str(references)]
        reference += ["--vectors", str(vectors)]
        if ROUTES[via] == "tensorflow":
            run_worker("tensorflow", prepared, *conversion, *reference)
        else:
            run_worker(ROUTES[via], prepared, *conversion)
            run_worker("tensorflow", prepared, *reference)
        try:
            graph = onnx_file.load(raw)
        except RefusedInputError as error:
            raise ConversionError(f"The converter wrote a damaged file: {error}") from error
        return Conversion(graph, exchange.load_outputs(references), vectors.read_bytes())


def trace(prepared: Prepared, suite: Suite, names: list[str]) -> dict[str, np.ndarray]:
    """Returns the values inside a model under TensorFlow, see `export.convert.trace`."""
    with tempfile.TemporaryDirectory() as folder:
        stored, wanted, values = (Path(folder) / name for name in ("suites", "names", "values"))
        exchange.save_suites(stored, [suite])
        wanted.write_text(json.dumps(names))
        paths = ["--suites", str(stored), "--names", str(wanted), "--values", str(values)]
        run_worker("tensorflow", prepared, *paths)
        with np.load(values) as arrays:
            return dict(arrays)


def run_worker(backend: str, prepared: Prepared, *arguments: str) -> None:
    """Runs `export.convert.worker` on a saved model, and raises what it raised."""
    with tempfile.TemporaryDirectory() as folder:
        failure = Path(folder) / "error.json"
        environment = _WORKER_ENVIRONMENT | {"KERAS_BACKEND": backend}
        worker = start_worker(
            [str(prepared.folder), f"--error={failure}", *arguments, "--import", *prepared.modules],
            environment,
        )
        if worker.returncode != 0:
            raise _error_of(worker, failure)


def start_worker(
    arguments: list[str], environment: dict[str, str]
) -> subprocess.CompletedProcess[str]:
    """Runs `export.convert.worker` with these arguments, and this environment added, to its end."""
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
    """Yields the end of a pipe that stays open, and silent, as long as this process lives."""
    worker_end, own_end = os.pipe()
    try:
        yield worker_end
    finally:
        os.close(worker_end)
        os.close(own_end)


def _error_of(worker, failure):
    """Rebuilds the error that the worker wrote down; any other end is a failed conversion."""
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
