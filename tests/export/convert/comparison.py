"""Compares a model's ONNX file with the model, run by Keras."""

import keras
import numpy as np
import onnxruntime
from converted import converted
from keras import ops

from export import keras_model
from export.convert import patches
from export.graph.content import serialize

FLOATS, INTEGERS = "float32", "int32"


def inputs_of(*shapes, dtype=FLOATS):
    return [keras.Input(shape, dtype=dtype) for shape in shapes]


def run(file, arrays):
    session = onnxruntime.InferenceSession(serialize(file), providers=["CPUExecutionProvider"])
    return session.run(None, dict(zip((x.name for x in session.get_inputs()), arrays, strict=True)))


def check(inputs, outputs, samples=None, opset=17):
    """Compares a file with Keras at two batch sizes and two scales; returns the file."""
    model, generator = keras.Model(inputs, outputs), np.random.default_rng(0)
    for weight in model.weights:  # Biases that are not zero.
        noise = generator.normal(scale=0.05, size=weight.shape)
        weight.assign(keras.ops.convert_to_numpy(weight) + noise)
    file = converted(model, opset)
    for batch, scale in ((1, 1), (3, 100)):
        arrays = [
            samples
            if samples is not None
            else (generator.normal(size=(batch, *x.shape[1:])) * scale).astype("float32")
            if x.dtype == FLOATS
            else generator.integers(-300, 300, (batch, *x.shape[1:])).astype(x.dtype)
            for x in inputs
        ]
        with patches.convolutions_on_cpus():
            expected = keras_model.call(model, list(map(ops.convert_to_tensor, arrays)))
        for value, right in zip(run(file, arrays), map(np.asarray, expected), strict=True):
            assert value.dtype == right.dtype
            assert value.shape == right.shape
            largest = np.abs(right[np.isfinite(right)]).max(initial=0)
            np.testing.assert_allclose(value, right, rtol=1e-4, atol=2e-6 * largest + 1e-7)
    return file
