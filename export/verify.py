"""Checks, on any machine, that an exported file is intact and computes the model's outputs.

`python -m export.verify model.onnx`

The export writes a seal for each file, `model.onnx.golden.npz`, with the SHA-256 of the file, a few
inputs, the Keras model's outputs for them, and the tolerance of each output. The seal detects
corruption, mixed-up files and faulty runtimes. It is not a signature: whoever can write both files
can make them agree.

This file needs onnxruntime and numpy, and nothing else of the project. It can be copied to a
device, and `python verify.py model.onnx` runs it there.
"""

import argparse
import hashlib
import io
import json
import math
import os
import platform
import sys
import zipfile
from pathlib import Path
from typing import NamedTuple

import numpy as np
import onnxruntime

FORMAT = 1
VALUES = 4093
"""Largest number of sealed values of an array: a prime, which no axis divides."""

_LARGEST = 2**26  # Bytes of a seal, and elements of an array that it describes.
_EXIT_CODES = """exit codes:
  0  the file is intact and computes what the model did
  1  this machine computes something else, or cannot run the file
  4  the file or its seal is damaged, or they do not belong together
  5  a path or an option is wrong"""


class SealError(ValueError):
    """The file or its seal is damaged, or they do not belong together."""

    exit_code = 4


class CannotRunError(ValueError):
    """onnxruntime on this machine cannot run the file, although it is intact."""

    exit_code = 1


class UsageError(ValueError):
    """A file is missing, or an argument is wrong."""

    exit_code = 5


class Check(NamedTuple):
    """Largest difference of one output over a suite; infinite if its shape or NaN differ."""

    output: str
    suite: str
    samples: int
    max_abs: float
    allowed: float
    passed: bool


class Verdict(NamedTuple):
    """Result of `verify`, with the digest of the file and the origin of the sealed outputs."""

    checks: list[Check]
    sha256: str
    reference: str

    @property
    def passed(self) -> bool:
        """Whether every check passed."""
        return all(check.passed for check in self.checks)


def seal_path(model: str | os.PathLike) -> Path:
    """Returns the path of the seal of an ONNX file."""
    return Path(f"{model}.golden.npz")


def verify(path: str | os.PathLike) -> Verdict:
    """Checks the ONNX file at `path` against its seal in the same folder.

    Raises:
        SealError, CannotRunError, UsageError: If no comparison is possible. All are `ValueError`s.
    """
    try:
        for file in (path, seal_path(path)):
            if os.path.exists(file) and not os.path.isfile(file):  # It may have no end.
                raise UsageError(f"{file} is not a regular file. Pass the path of an ONNX file.")
        model, sealed = Path(path).read_bytes(), seal_path(path).read_bytes()
    except OSError as error:
        raise UsageError(
            f"{error.filename} cannot be read: {error.strerror}. Keep the two files of an export, "
            f"model.onnx and {seal_path('model.onnx')}, in one folder."
        ) from error
    return replay(model, sealed)


def replay(model: bytes, sealed: bytes) -> Verdict:
    """Runs an ONNX file on its sealed inputs; see `verify`."""
    seal, arrays = read_seal(sealed)
    digest = hashlib.sha256(model).hexdigest()
    if digest != seal["sha256"]:
        raise SealError(
            "The model is not the one that was sealed: it was changed or cut short, or the two "
            "files are of different exports (one may have been interrupted). Copy both again, or "
            f"export again. SHA-256 of the model: {digest}, sealed: {seal['sha256']}"
        )
    try:
        (options := onnxruntime.SessionOptions()).log_severity_level = 4
        session = onnxruntime.InferenceSession(model, options, providers=["CPUExecutionProvider"])
        _check_signature(session, seal)
        return Verdict(list(_compare(session, seal, arrays)), digest, seal["reference"])
    except SealError:
        raise
    except Exception as error:  # onnxruntime's errors have no other common class.
        raise CannotRunError(
            f"The file is intact, but onnxruntime {onnxruntime.__version__} cannot run it: {error}"
        ) from error


def _compare(session, seal, arrays):
    names = [value["name"] for value in seal["outputs"]]
    for number, suite in enumerate(seal["suites"]):
        feeds = {}
        for index, value in enumerate(seal["inputs"]):
            shape = _shape(suite["samples"], value)
            feeds[value["name"]] = np.resize(arrays[f"suite_{number}_input_{index}"], shape)
        for index, output in enumerate(session.run(names, feeds)):
            expected = arrays[f"suite_{number}_output_{index}"]
            max_abs = math.inf
            if output.shape == _shape(suite["samples"], seal["outputs"][index]):
                max_abs = difference(expected, sealed_values(output))
            allowed, facts = suite["allowed"][index], (suite["name"], suite["samples"])
            yield Check(names[index], *facts, max_abs, allowed, max_abs <= allowed)


def _shape(samples, value):
    """Returns the shape of an input or output, which is whole if it has no batch axis."""
    return (*value["shape"],) if value.get("whole") else (samples, *value["shape"])


def sealed_values(array: np.ndarray) -> np.ndarray:
    """Returns the values of an array that a seal stores: all, or `VALUES` evenly spread."""
    count = min(array.size, VALUES)
    return array.ravel()[np.arange(count) * array.size // count]


def difference(expected: np.ndarray, output: np.ndarray) -> float:
    """Returns the largest difference, or infinity if NaN or infinity are at other positions."""
    expected, output = expected.astype("float64"), output.astype("float64")
    finite = np.isfinite(expected)
    if not np.array_equal(expected[~finite], output[~finite], equal_nan=True):
        return math.inf
    distance = np.abs(output[finite] - expected[finite]).max(initial=0.0)
    return float(distance) if np.isfinite(distance) else math.inf


def read_seal(content: bytes) -> tuple[dict, dict[str, np.ndarray]]:
    """Returns the contents of a seal, which may be hostile, and its arrays by name.

    Raises:
        SealError: If the seal is not as the export writes it.
    """
    try:
        if len(content) > _LARGEST:
            raise SealError(f"it has {len(content):,} bytes")
        with zipfile.ZipFile(io.BytesIO(content)) as archive:
            entries = archive.infolist()
            names = {entry.filename.removesuffix(".npy") for entry in entries}
            size, kinds = sum(e.file_size for e in entries), {e.compress_type for e in entries}
            if not kinds <= {0, 8} or len(names) < len(entries) or size > len(content):
                raise SealError("it has repeated or LZMA entries, or unpacks to more than it is")
            arrays = {name: _read_array(archive, name) for name in names}
        if "seal" not in arrays:
            raise SealError("the array 'seal' is missing")
        _check_seal(seal := json.loads(arrays.pop("seal").tobytes()), arrays)
    except Exception as error:  # The type of error depends on the damage.
        reason = error if isinstance(error, SealError) else f"{type(error).__name__}: {error}"
        raise SealError(
            "The seal is damaged, or not what the export wrote. Copy it again, or "
            f"export again. Received: {reason}"
        ) from error
    return seal, arrays


def _read_array(archive, name):
    """Reads one array, whose header must agree with its bytes."""
    with archive.open(f"{name}.npy") as file:
        version = np.lib.format.read_magic(file)
        if version != (1, 0):
            raise SealError(f"the array {name!r} is of version {version}")
        shape, _, dtype = np.lib.format.read_array_header_1_0(file)
        content = file.read()
    if dtype.hasobject or dtype.kind not in "fiub":
        raise SealError(f"the array {name!r} has {dtype}, not numbers")
    if len(shape) != 1 or shape[0] * dtype.itemsize != len(content):
        raise SealError(f"the array {name!r} of shape {shape} has {len(content)} bytes")
    return np.frombuffer(content, dtype)


def _check_seal(seal, arrays):
    """Raises a `SealError`, or another error, if a seal contradicts itself or its arrays."""
    if seal["format"] != FORMAT:
        raise SealError(f"its format is {seal['format']}, but this program reads {FORMAT}")
    if not seal["inputs"] or not seal["outputs"] or not seal["suites"]:
        raise SealError("it has nothing to compare")
    words = [entry["name"] for key in ("inputs", "outputs", "suites") for entry in seal[key]]
    for word in [*words, seal["sha256"], seal["reference"]]:
        if not (word.isascii() and word.isprintable() and len(word) <= 300):
            raise SealError(f"a name of {len(word)} characters that cannot be printed")
    expected = set()
    for number, suite in enumerate(seal["suites"]):
        allowed = suite["allowed"]
        in_range = all(type(value) is float and 0 <= value < math.inf for value in allowed)
        if len(allowed) != len(seal["outputs"]) or not in_range:
            raise SealError(f"the tolerances of {suite['name']!r} are {allowed}")
        for kind in ("input", "output"):
            for index, value in enumerate(seal[f"{kind}s"]):
                name = f"suite_{number}_{kind}_{index}"
                expected.add(name)
                if name not in arrays:
                    raise SealError(f"the array {name!r} is missing")
                _check_array(arrays[name], name, _shape(suite["samples"], value), value, kind)
    if expected != set(arrays):
        raise SealError(f"it has one array too many, {sorted(set(arrays) - expected)[0]!r}")


def _check_array(array, name, shape, value, kind):
    sizes = len(shape) < 65 and all(type(axis) is int and 0 < axis <= _LARGEST for axis in shape)
    size = math.prod(shape) if sizes else 0  # The product of texts is a long one.
    # The beginning of an input is enough, because inputs repeat.
    fits = 1 <= len(array) <= size if kind == "input" else len(array) == min(size, VALUES)
    if not 0 < size <= _LARGEST or not fits or array.dtype != value["dtype"]:
        raise SealError(
            f"the array {name!r} has {len(array)} {array.dtype} values for an {kind} of shape "
            f"{shape} in {value['dtype']}"
        )


def _check_signature(session, seal):
    types = {"float32": "float", "float64": "double"}
    for key, values in (("inputs", session.get_inputs()), ("outputs", session.get_outputs())):
        model = sorted((value.name, value.type, len(value.shape)) for value in values)
        sealed = sorted(
            (v["name"], f"tensor({types.get(v['dtype'], v['dtype'])})", len(_shape(1, v)))
            for v in seal[key]
        )
        if model != sealed:
            raise SealError(f"The model has the {key} {model}, but its seal has {sealed}.")


def _line(text):
    """Returns a text of a file on one line, without characters that steer a terminal."""
    return "".join(c if c.isprintable() else ascii(c)[1:-1] for c in " ".join(str(text).split()))


def main(arguments: list[str] | None = None) -> int:
    """Runs the command line, and returns its exit code."""
    parser = _Parser(
        prog="python -m export.verify",
        description="Checks that a file is intact and computes here what the Keras model did.",
        epilog=_EXIT_CODES,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("model", help="an ONNX file, with its seal in the same folder")
    try:
        path = parser.parse_args(arguments).model
        verdict = verify(path)
        print(f"{_line(path)} is intact, SHA-256 {verdict.sha256}")
        runtime = f"onnxruntime {onnxruntime.__version__} on {platform.machine()}"
        print(f"{runtime}, sealed by {verdict.reference}\n")
        print(f"  {'output':16}{'inputs':18}{'samples':>7}{'max abs':>10}{'allowed':>10}")
        for check in verdict.checks:
            print(
                f"  {check.output:16}{check.suite:18}{check.samples:7}{check.max_abs:10.1e}"
                f"{check.allowed:10.1e}  {'ok' if check.passed else 'FAILED'}"
            )
        print("\nPASSED" if verdict.passed else "\nFAILED: this machine computes something else.")
        return 0 if verdict.passed else 1
    except Exception as error:  # Of any class: a user can do nothing with a stack.
        print(f"verify: {_line(error)} ({type(error).__name__})", file=sys.stderr)
        return getattr(error, "exit_code", CannotRunError.exit_code)


class _Parser(argparse.ArgumentParser):
    def error(self, message):
        raise UsageError(f"{message}\n{self.format_usage().strip()}")


if __name__ == "__main__":
    sys.exit(main())
