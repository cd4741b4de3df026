"""A stranger's model may take as long as its file explains, and no longer."""

import json
import threading
import time
import zipfile

import keras
import numpy as np
import pytest
from conftest import once

import keras_capsules
from export import RefusedInputError, export_onnx, to_onnx
from export.admit import budget, prepare

pytestmark = pytest.mark.filterwarnings("ignore::pytest.PytestUnhandledThreadExceptionWarning")


def test_results_and_errors_pass_through():
    assert budget.run_within(lambda: 3, 10, "it") == 3
    with pytest.raises(ZeroDivisionError):
        budget.run_within(lambda: 1 // 0, 10, "it")


def endless():
    while True:
        try:
            sum(range(1000))
        except Exception:  # As packages do.
            continue


def hoard():
    kept = []
    while True:
        kept.append(np.ones(1 << 20))


@once
@pytest.mark.parametrize("function, words", [(endless, "0 seconds"), (hoard, "64 MiB")])
def test_what_takes_too_much_is_stopped(function, words):
    threads, start = threading.active_count(), time.perf_counter()
    seconds = 0.3 if function is endless else 60
    with pytest.raises(RefusedInputError, match=f"it takes more than {words}"):
        budget.run_within(function, seconds, "it", 64 << 20)
    assert time.perf_counter() - start < 10
    assert threading.active_count() == threads


@pytest.fixture
def endless_capsules(tmp_path):
    """Path of a file whose routing has a number of iterations that no machine can do."""
    image = keras.Input((4, 4))
    model = keras.Model(image, keras_capsules.CapsuleLayer(2, 2)(image))
    model.save(tmp_path / "whole.keras")
    path = tmp_path / "model.keras"
    with zipfile.ZipFile(tmp_path / "whole.keras") as old, zipfile.ZipFile(path, "w") as new:
        for name in old.namelist():
            text = old.read(name)
            if name == "config.json":
                assert json.loads(text) and b'"iterations": 3' in text
                text = text.replace(b'"iterations": 3', b'"iterations": 1000000000')
            new.writestr(name, text)
    return path


@once
def test_a_model_that_never_answers_is_refused(endless_capsules, tmp_path, monkeypatch, capsys):
    monkeypatch.setattr(prepare, "_SECONDS", 2)
    start = time.perf_counter()
    target = tmp_path / "model.onnx"
    assert to_onnx.main([str(endless_capsules), "-o", str(target)]) == 4
    assert time.perf_counter() - start < 20 and not target.exists()
    error = capsys.readouterr().err
    assert "one sample takes more than 2 seconds" in error and "pass the model" in error


@once
def test_a_model_in_memory_may_take_its_time(tmp_path, monkeypatch, warm_conversions):
    monkeypatch.setattr(prepare, "_SECONDS", 0)
    monkeypatch.setattr(prepare, "_SECONDS_OF_VALUE", 0)
    image = keras.Input((4,))
    model = keras.Model(image, keras.layers.Dense(2)(image))
    assert export_onnx(model, tmp_path / "model.onnx").passed
