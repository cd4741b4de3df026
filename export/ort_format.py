"""The `.ort` twin of an ONNX file, for onnxruntime builds that read no other format."""

import hashlib
import subprocess
import sys
import tempfile
from pathlib import Path

import keras
import numpy as np
import onnxruntime

from export import parity, source
from export.errors import ConversionError, UsageError
from export.options import ORT_SUFFIXES
from export.runtimes import OLDEST_FOR_ORT
from export.suites import Suite

_CONVERTER = "onnxruntime.tools.convert_onnx_models_to_ort"


def paths(target: Path) -> list[Path]:
    """Returns the paths of the twin and of its list of operators, beside the ONNX file.

    Raises:
        UsageError: If the ONNX file is itself called `.ort`.
    """
    if target.suffix == ".ort":
        raise UsageError(f"{target} has the name of its .ort twin. Call the ONNX file .onnx.")
    return [target.parent / f"{target.stem}{suffix}" for suffix in ORT_SUFFIXES]


def convert(content: bytes, target: Path) -> tuple[bytes, bytes]:
    """Converts an ONNX file with onnxruntime's own converter, in its style for the CPU.

    Args:
        content: Bytes of the ONNX file.
        target: Path that it will have; the list of operators names it.

    Returns:
        The bytes of the `.ort` file, and of the list of operators that a reduced build needs.

    Raises:
        ConversionError: If onnxruntime cannot convert it.
    """
    with tempfile.TemporaryDirectory() as folder:
        file = Path(folder) / "model.onnx"
        file.write_bytes(content)
        # In a process of its own: importing onnxruntime.tools imports torch where it is installed.
        child = subprocess.run(
            [sys.executable, "-m", _CONVERTER, file, "--optimization_style", "Fixed"],
            capture_output=True,
            text=True,
        )
        if child.returncode != 0:
            last_line = child.stderr.strip().rpartition("\n")[2]
            raise ConversionError(f"onnxruntime cannot write the .ort file: {last_line}")
        twin, config = paths(file)
        operators = config.read_text().replace(str(twin), paths(target)[0].name)
        return twin.read_bytes(), operators.encode()


def verify(
    model: keras.Model,
    content: bytes,
    twin: bytes,
    suites: list[Suite],
) -> dict:
    """Compares a twin with its ONNX file, bit by bit.

    Both run on one thread, the ONNX file with the optimizations that the twin holds already.

    Args:
        model: The Keras model, for the names of its inputs and outputs.
        content: Bytes of the ONNX file.
        twin: Bytes of the `.ort` file.
        suites: The inputs.

    Returns:
        Facts for the report: `bytes`, `sha256`, `min_onnxruntime` and the `identical_on` suites.

    Raises:
        ConversionError: If an output differs.
    """
    sessions, names = (_session(content), _session(twin)), source.output_names(model)
    identical = []
    for suite in suites:
        pair = (parity.run_onnx(session, model, names, suite) for session in sessions)
        for name, one, other in zip(names, *pair, strict=True):
            if one.dtype != other.dtype or not np.array_equal(one, other, equal_nan=True):
                raise ConversionError(
                    f"onnxruntime's .ort file gives another {name!r} than the ONNX file, on the "
                    f"inputs {suite.name!r}. Export without it."
                )
        identical.append(suite.name)
    digest = hashlib.sha256(twin).hexdigest()
    return {
        "bytes": len(twin),
        "sha256": digest,
        "min_onnxruntime": OLDEST_FOR_ORT,
        "identical_on": identical,
    }


def _session(content):
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = 1
    options.log_severity_level = 3
    return onnxruntime.InferenceSession(
        content,
        options,
        providers=["CPUExecutionProvider"],
        disabled_optimizers=[
            "NchwcTransformer"
        ],  # As the converter, whose file is not for one CPU.
    )
