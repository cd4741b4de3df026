"""Makes the file of a model as an export does, but in this process, and compares it with the model.

A user's export starts a process for each conversion, and judges the file by many more inputs. Here
the corpus takes minutes.
"""

import tempfile
from pathlib import Path

import keras
import numpy as np
import onnx
import onnxruntime

from export import keras_model
from export.admit.prepare import prepare
from export.graph.content import serialize
from export.options import ExportOptions
from tests.converted import converted as convert
from tests.export.corpus.registry import Entry


def convert_here(model: keras.Model) -> tuple[keras.Model, onnx.ModelProto]:
    """Returns the model that was converted, which computes in float32, and its file."""
    options = ExportOptions()
    with tempfile.TemporaryDirectory() as folder:
        converted = prepare(model, Path(folder, "model.onnx"), Path(folder), options).model
    return converted, convert(converted)


def largest_difference(entry: Entry, model: keras.Model, file: onnx.ModelProto) -> float:
    """Runs a model and its file on the inputs of the entry.

    Returns:
        The largest difference, as a share of the output's largest value if that is above 1.

    Raises:
        AssertionError: If the two do not agree on shapes, or on what is infinite or no number.
    """
    session = onnxruntime.InferenceSession(serialize(file), providers=["CPUExecutionProvider"])
    names = [value.name for value in session.get_inputs()]
    differences = []
    for inputs in entry.inputs(model):
        tensors = [keras.ops.convert_to_tensor(array) for array in inputs]
        expected = keras_model.call(model, tensors)
        found = session.run(None, dict(zip(names, inputs, strict=True)))
        differences += map(_difference, found, map(keras.ops.convert_to_numpy, expected))
    return max(differences)


def _difference(found, expected):
    found, expected = found.astype("float64"), expected.astype("float64")
    finite = np.isfinite(expected)
    assert found.shape == expected.shape
    np.testing.assert_array_equal(found[~finite], expected[~finite])
    scale = max(1.0, np.abs(expected[finite]).max(initial=0.0))
    return np.abs(found - expected)[finite].max(initial=0.0) / scale
