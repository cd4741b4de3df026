"""The float64 model, whose distance from the model is the model's own rounding error."""

from dataclasses import replace

import custom_layers
import keras
import numpy as np
import pytest
from conftest import once

import export
from export.compare.run import each_once
from export.compare.suites import Suite, suite_set
from export.convert.reference import float64_outputs
from export.results import Kind

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
@pytest.mark.skipif(
    keras.backend.backend() != "tensorflow", reason="computes in float64 and eagerly"
)
def test_a_model_that_runs_only_eagerly_has_references(generator):
    x = keras.Input((4,), name="x")
    model = keras.Model(x, custom_layers.OnlyEager(name="eager")(x))
    inputs = generator.normal(size=(3, 4)).astype("float32")
    suite = Suite(Kind.RANDOM, [inputs], batch=3)
    ((output,),) = float64_outputs(model, [suite])
    np.testing.assert_array_equal(output, inputs.astype("float64") * 3)


@once
def test_the_same_inputs_are_run_once(generator):
    """The same samples in other batches are other inputs: a model may mix samples."""
    inputs = generator.normal(size=(4, 2)).astype("float32")
    suites = [Suite(Kind.RANDOM, [inputs], batch) for batch in (4, 1)]
    suites += [replace(suites[0], inputs=[inputs.copy()], sealed=True)]
    suites += [replace(suites[0], inputs=[inputs + 1])]
    run = []
    results = each_once(lambda suite: run.append(suite) or len(run), suites)
    assert run == [suites[0], suites[1], suites[3]] and results == [1, 2, 1, 3]


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
