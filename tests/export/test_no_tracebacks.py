"""What nobody should pass to the export: each ends with a line and the documented code."""

import os
import signal

import keras
import numpy as np
import pytest
from conftest import once

from export import to_onnx, write

pytestmark = once

SHAPE = (6, 12, 12, 1)
NAN = np.full(SHAPE, np.nan, "float32")
DATA = {
    "text": {"image": np.full(SHAPE, "a")},
    "bytes": {"image": np.full(SHAPE, b"a")},
    "structures": {"image": np.zeros(SHAPE, [("a", "f4"), ("b", "f4")])},
    "complex": {"image": np.zeros(SHAPE, "complex64")},
    "dates": {"image": np.zeros(SHAPE, "M8[s]")},
    "labels as text": {"image": np.zeros(SHAPE), "labels": np.full(6, "cat")},
    "labels in a structure": {"image": np.zeros(SHAPE), "labels": np.zeros(6, [("a", "f4")])},
    "NaN": {"image": NAN},
    "infinity": {"image": NAN * np.float32(0) + np.inf},
}


def ending(capsys, *arguments):
    """Runs the command, and returns its code and its message."""
    handler = signal.getsignal(signal.SIGTERM)
    try:
        code = to_onnx.main(list(map(str, arguments)))
    finally:
        signal.signal(signal.SIGTERM, handler)
    error = capsys.readouterr().err
    assert code == 0 or (error.startswith("export: ") and "Traceback" not in error)
    assert all(line.isprintable() for line in error.splitlines())
    return code, error


@pytest.mark.parametrize("name", DATA)
def test_data_that_are_no_numbers(saved_capsnet, tmp_path, capsys, name):
    np.savez(tmp_path / "data.npz", **DATA[name])
    arguments = (saved_capsnet, "-o", tmp_path / "model.onnx", "--data", tmp_path / "data.npz")
    code, error = ending(capsys, *arguments, "--precision", "int8")
    assert code == 5 and ("numbers" in error or "NaN" in error)
    assert not (tmp_path / "model.onnx").exists()


@pytest.mark.parametrize(
    ("option", "words"),
    [
        (["--batch", "1e9"], "dynamic"),
        (["--batch", "1000000000"], "smaller batch"),
        (["--batch", "9" * 400], "smaller batch"),
        (["--batch", "9" * 5000], ""),
        (["--batch", "²"], ""),
        (["--opset", "9" * 5000], "usage"),
        (["--sizes", "height=1000000000000000"], ""),
        (["--colour\x1b[2J"], "\\x1b[2J"),
        (["--labels", "/dev/zero"], "not a regular file"),
        (["--data", "/dev/zero"], "numpy.savez"),
    ],
    ids=lambda value: str(value)[:30],
)
def test_options(saved_capsnet, tmp_path, capsys, option, words):
    code, error = ending(capsys, saved_capsnet, "-o", tmp_path / "model.onnx", *option)
    assert code == 5 and words in error


def test_models_that_are_no_regular_files(tmp_path, capsys):
    os.mkfifo(tmp_path / "pipe.keras")
    (tmp_path / "loop.keras").symlink_to(tmp_path / "loop.keras")
    names = ("pipe.keras", "loop.keras", "n" * 300, "\x1b[2J.keras", "\udc80.keras")
    for path in (*(tmp_path / name for name in names), "/dev/zero", "", "/"):
        code, error = ending(capsys, path, "-o", tmp_path / "model.onnx")
        assert code == 5 and "There is no file" in error


def test_names_that_are_as_long_as_a_name_can_be(tmp_path, capsys):
    image = keras.Input((4,), name="x")
    for length, expected in ((255, 2), (400, 2)):
        scores = keras.layers.Dense(2, name="n" * length)(image)
        keras.Model(image, scores).save(tmp_path / "model.keras")
        code, error = ending(capsys, tmp_path / "model.keras", "-o", tmp_path / "model.onnx")
        assert code == expected and "at most 250" in error


def test_what_no_one_foresaw(saved_capsnet, tmp_path, monkeypatch, capsys):
    def fail(*arguments):
        raise ZeroDivisionError("\x1b[2Jof a package")

    monkeypatch.setattr(write.Target, "check", fail)
    code, error = ending(capsys, saved_capsnet, "-o", tmp_path / "model.onnx")
    assert code == 2 and "ZeroDivisionError: " in error and "of a package" in error
