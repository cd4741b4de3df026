"""The other process: what it raises and how it ends, started as for a user, or warm."""

import threading
import time

import custom_layers
import keras
import numpy as np
import onnxruntime
import pytest
from conftest import once

import export
from export import pipeline
from export.convert import start

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


@pytest.mark.parametrize("late", [False, True])
@pytest.mark.usefixtures("warm_conversions")
def test_an_error_arrives_also_after_the_references(tmp_path, monkeypatch, late):
    """The export goes on as soon as there are references. The worker's end still counts."""
    run_worker = start.run_worker

    def fail(*arguments):
        if late:
            run_worker(*arguments)
        raise export.ConversionError("The end of the worker.")

    monkeypatch.setattr(start, "run_worker", fail)
    with pytest.raises(export.ConversionError, match="^The end of the worker.$"):
        export.export_onnx(model_of(keras.layers.Dense(2)), tmp_path / "model.onnx")
    assert not list(tmp_path.iterdir())


@pytest.mark.usefixtures("warm_conversions")
def test_a_refused_export_waits_for_the_end_of_the_worker(tmp_path, monkeypatch):
    """Else the worker would outlive the folder that it writes to."""
    run_worker, found = start.run_worker, []

    def end_late(backend, prepared, *arguments):
        run_worker(backend, prepared, *arguments)
        time.sleep(1)
        found.append(prepared.folder.exists())

    def refuse(*arguments):
        raise export.UnsupportedOperationError("No such operation.")

    monkeypatch.setattr(start, "run_worker", end_late)
    monkeypatch.setattr(pipeline, "to_canonical", refuse)
    with pytest.raises(export.UnsupportedOperationError):
        export.export_onnx(model_of(keras.layers.Dense(2)), tmp_path / "model.onnx")
    assert found == [True]


@pytest.mark.usefixtures("warm_conversions")
def test_the_file_is_compared_before_the_worker_has_ended(tmp_path, monkeypatch):
    run_worker, compared = start.run_worker, threading.Event()
    compare_cases = pipeline.compare_cases

    def end_after_the_comparison(*arguments):
        run_worker(*arguments)
        assert compared.wait(60)

    def compare_and_tell(*arguments):
        compared.set()
        return compare_cases(*arguments)

    monkeypatch.setattr(start, "run_worker", end_after_the_comparison)
    monkeypatch.setattr(pipeline, "compare_cases", compare_and_tell)
    assert export.export_onnx(model_of(keras.layers.Dense(2)), tmp_path / "model.onnx").passed
