"""Makes the seal of a file, a few inputs and Keras' outputs for them, for `export.verify`.

The outputs are computed in the process of the conversion, in float64 if the model runs in it. They
are therefore the same on every backend, and independent of onnxruntime.
"""

import importlib
import io
import json
from collections.abc import Sequence

import keras
import numpy as np

from export import keras_model
from export.compare.run import run_keras
from export.compare.suites import Suite, beginning
from export.compare.tolerance import allowed_difference, roundings, scales
from export.results import Comparison
from export.verify import FORMAT, sealed_values


def vectors(
    model: keras.Model,
    suites: list[Suite],
    references: list[list[np.ndarray]] | str,
) -> bytes:
    """Returns inputs, outputs and tolerances of the sealed suites, which do not name a file yet.

    The outputs are those of the float64 model, or of the model if there is no float64 model.
    """
    sealed = [index for index, suite in enumerate(suites) if suite.sealed]
    suites = [suites[index] for index in sealed]
    expected = [run_keras(model, suite) for suite in suites]
    if not isinstance(references, str):
        references = [references[index] for index in sealed]
    truths = expected if isinstance(references, str) else references
    errors = roundings(model, suites, expected, references)
    sizes = scales(suites, expected)
    arrays, described = {}, []
    for number, suite in enumerate(suites):
        allowed = []
        for index, array in enumerate(suite.inputs):
            arrays[f"suite_{number}_input_{index}"] = beginning(array)
        for index, array in enumerate(expected[number]):
            truth = truths[number][index].astype(array.dtype)
            arrays[f"suite_{number}_output_{index}"] = sealed_values(truth)
            allowed.append(allowed_difference(errors[number][index], sizes[number][index]))
        described.append(
            {"name": suite.key.plain_label, "samples": suite.samples, "allowed": allowed}
        )
    backend = importlib.import_module(keras.backend.backend())
    reference = f"Keras {keras.__version__} on {backend.__name__} {backend.__version__}"
    content = {
        "format": FORMAT,
        "inputs": _signatures(keras_model.input_names(model), suites[0].inputs, model.inputs),
        "outputs": _signatures(keras_model.output_names(model), expected[0], model.outputs),
        "suites": described,
        "reference": reference if isinstance(references, str) else f"{reference} in float64",
    }
    return _npz(arrays, content)


def seal(unbound: bytes, sha256: str, reduced: Sequence[Comparison] = ()) -> bytes:
    """Returns the seal for the ONNX file of this digest, the same bytes each time.

    Args:
        unbound: Result of `vectors`.
        sha256: Digest of the ONNX file.
        reduced: Comparisons of a file of reduced precision. A device must then compute the same as
            this machine, so twice the error of this machine is allowed.
    """
    with np.load(io.BytesIO(unbound), allow_pickle=False) as stored:
        arrays = dict(stored)
    content = json.loads(arrays.pop("seal").tobytes())
    errors = iter([entry.max_abs for entry in reduced if entry.suite.sealed])
    for suite in content["suites"] if reduced else ():
        # Comparisons are ordered by suite and then by output, as in the seal.
        suite["allowed"] = [max(allowed, _twice(next(errors))) for allowed in suite["allowed"]]
    return _npz(arrays, content | {"sha256": sha256})


def _twice(error):
    """Rounds to two digits, because onnxruntime's threads change the last digits."""
    return float(f"{2 * error:.1e}")


def _npz(arrays, content):
    """Returns the bytes that numpy.savez would write: uncompressed, and always dated 1980."""
    buffer = io.BytesIO()
    text = json.dumps(content, sort_keys=True).encode()
    np.savez(buffer, seal=np.frombuffer(text, "uint8"), **arrays)
    return buffer.getvalue()


def _signatures(names, arrays, tensors):
    """Describes inputs or outputs. A shape is that of a sample, or whole without a batch axis."""
    return [
        {"name": name, "dtype": array.dtype.name, "shape": list(array.shape[1:])}
        | ({} if tensor.shape[:1] == (None,) else {"whole": True})
        for name, array, tensor in zip(names, arrays, tensors, strict=True)
    ]
