"""Keras model to raw ONNX and to its reference outputs, in processes of their own.

Processes of their own because one model must give one file whichever backend asks for it, because
only TensorFlow computes in float64 without being told so at its start, and because tf2onnx needs
numpy patched for the whole process. `export.child` is what runs in them.
"""

import contextlib
import json
import os
import subprocess
import sys
import tempfile
from pathlib import Path

import numpy as np
import onnx

from export import onnx_safety, suites
from export.errors import ConversionError, ExportError
from export.options import ROUTES
from export.suites import Suite

# Hash order decides in which order tf2onnx meets nodes, and oneDNN how constants are folded.
_CHILD_ENVIRONMENT = {
    "PYTHONHASHSEED": "0",
    "CUDA_VISIBLE_DEVICES": "-1",
    "JAX_PLATFORMS": "cpu",
    "TF_CPP_MIN_LOG_LEVEL": "3",
    "TF_ENABLE_ONEDNN_OPTS": "0",
}


def convert(
    saved: Path,
    opset: int,
    modules: list[str],
    inputs: list[Suite],
    via: str = "tf2onnx",
    batch: int | None = None,
) -> tuple[onnx.ModelProto, list[list[np.ndarray]] | str, bytes]:
    """Converts a saved model, and computes what it should return.

    Args:
        saved: Path of an unpacked model, as `export.source` makes it.
        opset: Integer out of `export.runtimes.OPSETS`.
        modules: Modules to import first, which register the model's custom classes.
        inputs: Suites to compute reference outputs for.
        via: One of `export.options.ROUTES`.
        batch: Size of the file's batches, or `None` for an open axis.

    Returns:
        The raw `onnx.ModelProto`, whose inputs and outputs carry the model's names; the outputs of
        the model's float64 twin for each suite, or why they cannot be had; and the vectors for
        `export.golden.seal`.

    Raises:
        ConversionError, UnsupportedOperationError: If the converter fails.
    """
    with tempfile.TemporaryDirectory() as folder:
        raw, stored, references, vectors = (
            Path(folder) / name for name in ("raw", "suites", "references", "vectors")
        )
        suites.save(stored, inputs)
        conversion = ["--via", via, "--opset", str(opset), "--raw", str(raw)]
        conversion += [] if batch is None else ["--batch", str(batch)]
        reference = ["--suites", str(stored), "--references", str(references)]
        reference += ["--vectors", str(vectors)]
        if ROUTES[via] == "tensorflow":
            run_child("tensorflow", saved, modules, *conversion, *reference)
        else:
            run_child(ROUTES[via], saved, modules, *conversion)
            run_child("tensorflow", saved, modules, *reference)
        return onnx_safety.load(raw), suites.load_outputs(references), vectors.read_bytes()


def trace(saved: Path, modules: list[str], suite: Suite, names: list[str]) -> dict[str, np.ndarray]:
    """Returns the values inside a saved model under TensorFlow, see `export.trace`."""
    with tempfile.TemporaryDirectory() as folder:
        stored, wanted, values = (Path(folder) / name for name in ("suites", "names", "values"))
        suites.save(stored, [suite])
        wanted.write_text(json.dumps(names))
        paths = ["--suites", str(stored), "--names", str(wanted), "--values", str(values)]
        run_child("tensorflow", saved, modules, *paths)
        with np.load(values) as arrays:
            return dict(arrays)


def run_child(backend: str, saved: Path, modules: list[str], *arguments: str) -> None:
    """Runs `export.child` on a saved model, and raises what it raised."""
    with tempfile.TemporaryDirectory() as folder:
        failure = Path(folder) / "error.json"
        environment = _CHILD_ENVIRONMENT | {"KERAS_BACKEND": backend}
        child = start_child(
            [str(saved), "--error", str(failure), *arguments, "--import", *modules], environment
        )
        if child.returncode != 0:
            raise _error_of(child, failure)


def start_child(arguments: list[str], environment: dict[str, str]) -> subprocess.CompletedProcess:
    """Runs `export.child` with these arguments, and this added to the environment, to its end."""
    with _lifeline() as lifeline:
        return subprocess.run(
            [sys.executable, "-P", "-m", "export.child", *arguments],
            stdin=lifeline,
            env={**os.environ, **environment, "PYTHONPATH": os.pathsep.join(sys.path)},
            capture_output=True,
            text=True,
        )


@contextlib.contextmanager
def _lifeline():
    """Yields the end of a pipe that stays open, and silent, as long as this process lives."""
    child_end, own_end = os.pipe()
    try:
        yield child_end
    finally:
        os.close(child_end)
        os.close(own_end)


def _error_of(child, failure):
    """Rebuilds the error that the child wrote down; any other end is a failed conversion."""
    try:
        error = json.loads(failure.read_text())
    except (OSError, ValueError):
        last_line = child.stderr.strip().rpartition("\n")[2]
        return ConversionError(
            f"The conversion process ended with code {child.returncode}. Its last line: {last_line}"
        )
    kinds = {cls.__name__: cls for cls in ExportError.__subclasses__()}
    return kinds[error["kind"]](error["message"])
