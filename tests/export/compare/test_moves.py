"""Outputs that are not numbers, do not depend on the inputs, or depend on rounding."""

import keras
import numpy as np
import pytest
from conftest import once

import export

pytestmark = [once, pytest.mark.usefixtures("warm_conversions")]

layers = keras.layers


def network():
    keras.utils.set_random_seed(0)
    x = keras.Input((4,), name="x")
    hidden = layers.Dense(5, activation="relu", name="hidden")(x)
    return keras.Model(x, layers.Dense(3, name="scores")(hidden))


def test_a_model_whose_outputs_are_never_numbers_is_refused(tmp_path):
    model = network()
    kernel = model.get_layer("scores").kernel
    kernel.assign(np.full(kernel.shape, np.nan))
    with pytest.raises(export.ConversionError, match="'scores/kernel' has NaN"):
        export.export_onnx(model, tmp_path / "model.onnx")
    x = keras.Input((4,), name="x")
    with pytest.raises(export.ConversionError, match="--data"):
        export.export_onnx(keras.Model(x, keras.ops.log(x - 9)), tmp_path / "model.onnx")
    assert not list(tmp_path.iterdir())


def test_some_outputs_that_are_no_numbers_are_a_warning(tmp_path):
    x = keras.Input((4,), name="x")
    report = export.export_onnx(keras.Model(x, keras.ops.log(x - 0.5)), tmp_path / "model.onnx")
    assert "is NaN or infinite for some ordinary inputs" in report.to_text()


def test_a_model_that_does_not_depend_on_its_input_is_a_warning(tmp_path):
    model = network()
    model.get_layer("hidden").bias.assign(np.full(5, -100.0))
    report = export.export_onnx(model, tmp_path / "model.onnx")
    assert report.passed
    assert "the same for all random and real inputs. From the layer 'hidden'" in report.to_text()
    report.save(tmp_path / "report.html")
    assert "From the layer" in (tmp_path / "report.html").read_text()
    healthy = export.export_onnx(network(), tmp_path / "model.onnx", force=True)
    assert healthy.warnings == [] and "WARNING" not in healthy.to_text()


def test_an_output_that_is_all_rounding_is_a_warning(tmp_path):
    x = keras.Input((4,), name="x")
    # The same sum in two orders, so that only rounding decides between the two.
    sums = 1e8 * keras.ops.sum(x, axis=-1), keras.ops.sum(1e8 * x, axis=-1)
    logits = keras.ops.stack(sums, axis=-1)
    model = keras.Model(x, layers.Softmax(name="scores")(logits))
    report = export.export_onnx(model, tmp_path / "model.onnx")
    assert report.passed
    assert "says little about the output 'scores'" in report.to_text()
    remedy = export.export_onnx(keras.Model(x, logits), tmp_path / "logits.onnx")
    assert remedy.passed and not remedy.warnings
    assert export.compare(model, tmp_path / "model.onnx").warnings == report.warnings


def test_the_first_layer_that_nothing_moves_in_single_samples(tmp_path):
    x = keras.Input((4,), name="x")
    y = keras.layers.Dense(3, kernel_initializer="ones", name="first")(x)
    model = keras.Model(x, keras.layers.ReLU(name="last")(-y - 1))
    report = export.export_onnx(model, tmp_path / "model.onnx", batch=1)
    assert "From the layer 'last'" in report.to_text()
