"""The other process: what it raises and how it ends, started as for a user, or warm."""

import custom_layers
import keras
import numpy as np
import onnxruntime
import pytest
from conftest import once

import export

pytestmark = once


@pytest.fixture(params=["cold", "warm"])
def started(request, warm_start):
    """Lets a test run with conversions that start as a user's do, and with warm ones."""
    if request.param == "cold":
        yield
    else:
        with warm_start():
            yield


def model_of(layer):
    return keras.Sequential([keras.Input((4,), name="x"), layer])


@pytest.mark.usefixtures("started")
def test_control_flow_is_an_unsupported_operation(tmp_path):
    with pytest.raises(export.UnsupportedOperationError, match="Loop.*Replace") as caught:
        export.export_onnx(model_of(custom_layers.Looping(name="loop")), tmp_path / "model.onnx")
    assert caught.value.exit_code == 3 and not list(tmp_path.iterdir())


@pytest.mark.usefixtures("warm_conversions")
def test_control_flow_that_is_allowed_is_exported(tmp_path):
    """The report names the devices that it costs."""
    model, path = model_of(custom_layers.Looping(name="loop")), tmp_path / "model.onnx"
    report = export.export_onnx(model, path, allow=["Loop"])
    assert report.passed and "loop/loop" in report.to_text()
    assert "without Loop: WebGPU, XNNPACK, CoreML, NNAPI" in report.to_text()
    x = np.full((2, 4), 0.5, "float32")
    output = onnxruntime.InferenceSession(path).run(None, {"x": x})[0]
    np.testing.assert_allclose(output, model.predict(x, verbose=0), rtol=1e-6)


@pytest.mark.usefixtures("started")
def test_a_process_that_dies_is_a_failed_conversion(tmp_path, monkeypatch):
    """What it wrote last reaches the user, or the test that fails."""
    monkeypatch.setenv("CONVERSION_DIES", "of old age")
    model = model_of(custom_layers.DyingInConversion(name="dying"))
    with pytest.raises(export.ConversionError, match="code 9. Its last line: It dies of old age."):
        export.export_onnx(model, tmp_path / "model.onnx")
    assert not list(tmp_path.iterdir())


def test_a_cold_and_a_warm_process_write_the_same_file(tmp_path, warm_start):
    """The layer is a user's own: both processes import its module."""
    model = model_of(custom_layers.ShiftedInConversion(name="shifted"))
    assert export.export_onnx(model, tmp_path / "cold.onnx").passed
    with warm_start():
        assert export.export_onnx(model, tmp_path / "warm.onnx").passed
    assert (tmp_path / "cold.onnx").read_bytes() == (tmp_path / "warm.onnx").read_bytes()
    inputs = np.arange(8, dtype="float32").reshape(2, 4)
    session = onnxruntime.InferenceSession(tmp_path / "cold.onnx")
    np.testing.assert_array_equal(session.run(None, {"x": inputs})[0], inputs)
