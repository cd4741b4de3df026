"""Makes and checks the `.ort` copy of an ONNX file, for builds that read only this format."""

import hashlib
import subprocess
import sys
import tempfile
from pathlib import Path

import keras
import numpy as np

from export import keras_model
from export.compare.run import run_onnx, session
from export.compare.suites import Suite
from export.errors import ConversionError
from export.results import OrtFacts
from export.runtimes import OLDEST_FOR_ORT
from export.write import ort_paths

_CONVERTER = "onnxruntime.tools.convert_onnx_models_to_ort"


def to_ort(content: bytes, target: Path) -> tuple[bytes, bytes]:
    """Converts an ONNX file with onnxruntime's converter, in its style for the CPU.

    Args:
        content: Bytes of the ONNX file.
        target: Path of the final ONNX file, which the list of operators names.

    Returns:
        The bytes of the `.ort` file, and of the list of operators that a reduced build needs.

    Raises:
        ConversionError: If onnxruntime cannot convert it.
    """
    with tempfile.TemporaryDirectory() as folder:
        file = Path(folder) / "model.onnx"
        file.write_bytes(content)
        # In another process, because onnxruntime.tools imports torch if it is installed.
        converter = subprocess.run(
            [sys.executable, "-m", _CONVERTER, file, "--optimization_style", "Fixed"],
            capture_output=True,
            text=True,
        )
        if converter.returncode != 0:
            last_line = converter.stderr.strip().rpartition("\n")[2]
            raise ConversionError(f"onnxruntime cannot write the .ort file: {last_line}")
        copy, config = ort_paths(file)
        operators = config.read_text().replace(str(copy), ort_paths(target)[0].name)
        return copy.read_bytes(), operators.encode()


def check_copy(model: keras.Model, content: bytes, copy: bytes, suites: list[Suite]) -> OrtFacts:
    """Compares an `.ort` copy with its ONNX file, bit by bit.

    Both run on one thread. The ONNX file runs with the optimizations that the copy already has.

    Args:
        model: The Keras model, for the names of its inputs and outputs.
        content: Bytes of the ONNX file.
        copy: Bytes of the `.ort` file.
        suites: The inputs.

    Raises:
        ConversionError: If an output differs.
    """
    # The converter does not use the optimizer for the processor that it runs on.
    sessions = [session(file, threads=1, disabled=["NchwcTransformer"]) for file in (content, copy)]
    names = keras_model.output_names(model)
    for suite in suites:
        pair = (run_onnx(runner, model, names, suite) for runner in sessions)
        for name, one, other in zip(names, *pair, strict=True):
            if one.dtype != other.dtype or not np.array_equal(one, other, equal_nan=True):
                raise ConversionError(
                    f"onnxruntime's .ort file gives another {name!r} than the ONNX file, on the "
                    f"inputs {suite.key.label!r}. Export without it."
                )
    return OrtFacts(
        bytes=len(copy),
        sha256=hashlib.sha256(copy).hexdigest(),
        min_onnxruntime=OLDEST_FOR_ORT,
        identical_on=[suite.key.label for suite in suites],
    )
