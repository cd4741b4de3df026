"""Golden vectors: a few inputs and what Keras makes of them, for `export.verify` on the device.

They are made in the conversion's process, so that they are the same whichever backend asks for the
export, and independently of onnxruntime.
"""

import importlib
import io
import json
from pathlib import Path

import keras
import numpy as np

from export import parity, source
from export.verify import FORMAT, VALUES, sealed_values

SUITES = ("random, batch 2", "zeros", "constant", "huge, x 1e4", "tiny, x 1e-30")
"""The suites of `export.parity` that are sealed."""


def save_vectors(model: keras.Model, input_range: tuple[float, float], path: Path) -> None:
    """Runs the model on each suite and stores inputs, outputs and tolerances, not yet sealed."""
    arrays, suites, outputs = {}, [], []
    for number, suite in enumerate(SUITES):
        inputs = parity.suite_inputs(model, suite, input_range)
        for index, array in enumerate(inputs):
            beginning = array.ravel()[: 1 if np.ptp(array) == 0 else VALUES]
            arrays[f"suite_{number}_input_{index}"] = beginning
            inputs[index] = np.resize(beginning, array.shape)
        outputs = parity.run_keras(model, inputs)
        moved = parity.run_keras(model, parity.last_bit_changed(inputs))
        allowed = []
        for index, array in enumerate(outputs):
            arrays[f"suite_{number}_output_{index}"] = sealed_values(array)
            sensitivity = parity.distance(array, moved[index])
            allowed.append(parity.allowed_difference(parity.scale_of(array), sensitivity))
        suites.append({"name": suite, "samples": len(inputs[0]), "allowed": allowed})
    backend = importlib.import_module(keras.backend.backend())
    content = {
        "format": FORMAT,
        "inputs": _signatures(source.input_names(model), inputs),
        "outputs": _signatures(source.output_names(model), outputs),
        "suites": suites,
        "reference": f"Keras {keras.__version__} on {backend.__name__} {backend.__version__}",
    }
    path.write_bytes(_npz(arrays, content))


def seal(vectors: bytes, sha256: str) -> bytes:
    """Returns the golden file for the ONNX file of this digest, the same bytes each time."""
    with np.load(io.BytesIO(vectors), allow_pickle=False) as stored:
        arrays = dict(stored)
    content = json.loads(arrays.pop("seal").tobytes())
    return _npz(arrays, content | {"sha256": sha256})


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
