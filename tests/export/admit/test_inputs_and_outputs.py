"""Models with each structure of inputs and outputs that Keras runs."""

import keras
import numpy as np
import onnxruntime
import pytest
from conftest import once

import export
from export import keras_model

pytestmark = pytest.mark.usefixtures("warm_conversions")

layers, ops = keras.layers, keras.ops


def structures():
    a, b = keras.Input((4,), name="a"), keras.Input((3,), name="b", dtype="int32")
    flag, scalar = keras.Input((2,), name="flag", dtype="bool"), keras.Input((), name="scalar")
    outputs = {
        "dense": [layers.Dense(2)(a), {"whole": ops.sum(b, axis=1)}],
        "not": ops.logical_not(flag),
        "largest": ops.max(a),
        "by_largest": a / ops.max(a),
        "columns": ops.mean(a, axis=0),
        "scaled": scalar * 3,
    }
    return keras.Model({"a": a, "rest": [b, (flag, scalar)]}, outputs)


def test_scalars_and_nested_structures(tmp_path, generator):
    keras.utils.set_random_seed(0)
    model = structures()
    assert export.export_onnx(model, tmp_path / "model.onnx").passed
    arrays = {
        "a": generator.normal(size=(3, 4)).astype("float32"),
        "b": generator.integers(0, 2, size=(3, 3)).astype("int32"),
        "flag": generator.integers(0, 2, size=(3, 2)).astype(bool),
        "scalar": generator.normal(size=(3,)).astype("float32"),
    }
    expected = keras_model.call(model, [arrays[name] for name in keras_model.input_names(model)])
    session = onnxruntime.InferenceSession(tmp_path / "model.onnx")
    for found, own in zip(session.run(None, arrays), expected, strict=True):
        own = ops.convert_to_numpy(own)
        assert found.shape == own.shape and found.dtype == own.dtype
        np.testing.assert_allclose(found, own, atol=1e-6)


@once
def test_outputs_that_are_inputs(tmp_path):
    x = keras.Input((4,), name="x")
    export.export_onnx(keras.Model(x, x), tmp_path / "model.onnx")
    session = onnxruntime.InferenceSession(tmp_path / "model.onnx")
    (found,) = session.run(["x_output"], {"x": np.eye(4, dtype="float32")})
    np.testing.assert_array_equal(found, np.eye(4))


@once
@pytest.mark.parametrize(
    ("make", "words"),
    [
        (lambda: keras.Input((3,), sparse=True, name="x"), "sparse"),
        (lambda: keras.Input((3,), dtype="string", name="x"), "text"),
    ],
)
def test_inputs_that_onnx_does_not_have(tmp_path, make, words):
    x = make()
    outputs = layers.Dense(2)(x) if words == "sparse" else layers.Identity()(x)
    with pytest.raises(export.ConversionError, match=words):
        export.export_onnx(keras.Model(x, outputs), tmp_path / "model.onnx")
