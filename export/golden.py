"""Golden vectors: a few inputs and what Keras makes of them, for `export.verify` on the device.

They are made in the conversion's process, in float64 where the model runs in it, so that they are
the same whichever backend asks for the export, and independently of onnxruntime.
"""

import importlib
import io
import json
from collections.abc import Sequence
from pathlib import Path

import keras
import numpy as np

from export import parity, source
from export.report import SEALED
from export.suites import Suite, run_keras
from export.verify import FORMAT, VALUES, sealed_values

SUITES = ("random, batch 2", "zeros", "constant", "huge, x 1e4", "tiny, x 1e-30")
"""The suites of `export.suites` that are sealed."""


def sealed_suites(inputs: list[Suite]) -> list[Suite]:
    """Returns the inputs to seal: large ones repeat their beginning, which alone is stored."""
    # In place of two random samples, a file for batches of one size gets one such batch.
    names = [suite.name for suite in inputs]
    wanted = SUITES if SUITES[0] in names else (names[0], *SUITES[1:])
    chosen = (suite for suite in inputs if suite.name in wanted)
    return [
        Suite(
            SEALED + suite.name,
            [np.resize(_beginning(array), array.shape) for array in suite.inputs],
            suite.batch,
        )
        for suite in chosen
    ]


def save_vectors(
    path: Path,
    model: keras.Model,
    inputs: list[Suite],
    references: list[list[np.ndarray]] | str,
) -> None:
    """Stores inputs, outputs and tolerances of the sealed suites, not yet sealed.

    The outputs are those of the model's float64 twin, or the model's own where it has none.
    """
    kept = [index for index, suite in enumerate(inputs) if suite.name.startswith(SEALED)]
    inputs = [inputs[index] for index in kept]
    expected = [run_keras(model, suite) for suite in inputs]
    has_twin = not isinstance(references, str)
    references = [references[index] for index in kept] if has_twin else references
    roundings = parity.roundings(model, inputs, expected, references)
    arrays, described = {}, []
    for number, suite in enumerate(inputs):
        allowed = []
        for index, array in enumerate(suite.inputs):
            arrays[f"suite_{number}_input_{index}"] = _beginning(array)
        for index, array in enumerate(expected[number]):
            truth = references[number][index].astype(array.dtype) if has_twin else array
            arrays[f"suite_{number}_output_{index}"] = sealed_values(truth)
            scale = parity.scale_of(array)
            allowed.append(parity.allowed_difference(roundings[number][index], scale))
        name = suite.name.removeprefix(SEALED)
        described.append({"name": name, "samples": len(suite.inputs[0]), "allowed": allowed})
    backend = importlib.import_module(keras.backend.backend())
    precision = " in float64" if has_twin else ""
    content = {
        "format": FORMAT,
        "inputs": _signatures(source.input_names(model), inputs[0].inputs),
        "outputs": _signatures(source.output_names(model), expected[0]),
        "suites": described,
        "reference": f"Keras {keras.__version__} on {backend.__name__} {backend.__version__}"
        + precision,
    }
    path.write_bytes(_npz(arrays, content))


def _beginning(array):
    return array.ravel()[: 1 if np.ptp(array) == 0 else VALUES]


def seal(vectors: bytes, sha256: str, reduced: Sequence[dict] = ()) -> bytes:
    """Returns the golden file for the ONNX file of this digest, the same bytes each time.

    Where that file is of reduced precision, `reduced` are its comparisons. What counts on a device
    is then whether it computes there what it does here, so twice the error found here is allowed.
    """
    with np.load(io.BytesIO(vectors), allow_pickle=False) as stored:
        arrays = dict(stored)
    content = json.loads(arrays.pop("seal").tobytes())
    errors = {(entry["suite"], entry["output"]): entry["max_abs"] for entry in reduced}
    for suite in content["suites"] if errors else ():
        names = [value["name"] for value in content["outputs"]]
        found = [errors[SEALED + suite["name"], name] for name in names]
        suite["allowed"] = [
            max(pair) for pair in zip(suite["allowed"], map(_twice, found), strict=True)
        ]
    return _npz(arrays, content | {"sha256": sha256})


def _twice(error):
    """To two digits: what onnxruntime's threads make of an error is in the last ones."""
    return float(f"{2 * error:.1e}")


def _npz(arrays, content):
    """As numpy.savez writes it: uncompressed, and dated 1980 whenever that was."""
    buffer = io.BytesIO()
    text = json.dumps(content, sort_keys=True).encode()
    np.savez(buffer, seal=np.frombuffer(text, "uint8"), **arrays)
    return buffer.getvalue()


def _signatures(names, arrays):
    return [
        {"name": name, "dtype": array.dtype.name, "shape": list(array.shape[1:])}
        for name, array in zip(names, arrays, strict=True)
    ]
