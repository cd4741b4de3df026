"""The float64 model, whose distance from the model is the model's own rounding error."""

import custom_layers
import keras
import numpy as np
import pytest
from conftest import once

import export
from export.compare.suites import suite_set
from export.convert.reference import float64_outputs

pytestmark = pytest.mark.usefixtures("warm_conversions")


@once
def test_references_are_what_float64_gives(generator):
    """A layer that derives values from its weights, and a dense one, against numpy."""
    inputs = keras.Input((4, 4, 2), name="image")
    normalization = keras.layers.Normalization()
    normalization.adapt(generator.normal(2, 3, size=(8, 4, 4, 2)).astype("float32"))
    x = keras.layers.Dense(3, activation="tanh", name="dense")(normalization(inputs))
    model = keras.Model(inputs, x)
    found = suite_set(model).ordinary
    references = float64_outputs(model, found)
    mean, variance, _, kernel, bias = (w.astype("float64") for w in model.get_weights())
    for suite, (output,) in zip(found, references, strict=True):
        assert output.dtype == "float64"
        normalized = (suite.inputs[0].astype("float64") - mean) / np.sqrt(variance)
        expected = np.tanh(normalized @ kernel + bias)
        np.testing.assert_allclose(output, expected, rtol=0, atol=1e-14)


@once
def test_a_float64_model_that_computes_something_else_does_not_count():
    layer = custom_layers.SavesLess(name="less")
    inputs = keras.Input((4,))
    model = keras.Model(inputs, layer(inputs))
    assert isinstance(float64_outputs(model, suite_set(model).ordinary), list)
    layer.factor = 2.0
    found = float64_outputs(model, suite_set(model).ordinary)
    assert "computes something else" in found


@once
def test_a_model_that_does_not_run_in_float64_gets_the_fixed_tolerance(tmp_path):
    inputs = keras.Input((4,), name="x")
    model = keras.Model(inputs, custom_layers.OnlyFloat32(name="only")(inputs))
    report = export.export_onnx(model, tmp_path / "model.onnx")
    assert "the effect of the inputs' last bits" in report.tolerance
    assert {entry.allowed / entry.scale for entry in report.comparisons} == {1e-5}
    assert "does not run in float64" in report.to_text()
