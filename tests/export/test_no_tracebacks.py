"""What nobody should pass to the export: each ends with a line and the documented code."""

import os
import signal

import keras
import numpy as np
import pytest
from conftest import once

from export import device, doctor, to_onnx, verify
from export.admit import archive
from export.compare import __main__ as compare

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


def fail(*arguments):
    raise ZeroDivisionError("\x1b[2Jof a package")


# The function that fails in each command, arguments, and the code.
UNFORESEEN = {
    "export": (archive, "check_model", to_onnx, ["m.keras", "-o", "m.onnx"], 2),
    "compare": (compare, "compare", compare, ["m.keras", "m.onnx"], 2),
    "doctor": (doctor, "installed_versions", doctor, [], 2),
    "device": (device, "Predictor", device, ["m.onnx", "image.png"], 4),
    "verify": (verify, "verify", verify, ["m.onnx"], 1),
}


@pytest.mark.parametrize("name", UNFORESEEN)
def test_what_no_one_foresaw(name, tmp_path, monkeypatch, capsys):
    home, function, command, arguments, expected = UNFORESEEN[name]
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(home, function, fail)
    assert command.main(arguments) == expected
    error = capsys.readouterr().err
    assert error.startswith(f"{name}: ") and len(error.splitlines()) == 1
    assert "ZeroDivisionError" in error and "of a package" in error and "\x1b" not in error


@pytest.mark.parametrize("command", [to_onnx, compare, doctor], ids=["export", "compare", "doctor"])
def test_an_interrupted_command_says_so(command, monkeypatch, capsys):
    monkeypatch.setattr("export.command_line.Parser.parse_args", interrupt)
    assert command.main([]) == 130 and "interrupted" in capsys.readouterr().err


def interrupt(*arguments):
    raise KeyboardInterrupt


def test_compare_writes_reports_to_regular_files_and_replaces_none(exported_capsnet, capsys):
    model, path = exported_capsnet[0].with_name("model.keras"), exported_capsnet[0]
    report = path.with_name("report.json")
    report.write_text("old")
    pipe = path.with_name("pipe.json")
    os.mkfifo(pipe)
    steering = path.with_name("\x1b[2J.onnx")
    steering.write_bytes(path.read_bytes())
    arguments = [str(model), str(steering), "--report"]
    assert compare.main([*arguments, str(report)]) == 5
    assert "--force" in capsys.readouterr().err and report.read_text() == "old"
    assert compare.main([*arguments, str(pipe), "--force"]) == 5
    assert "not a regular file" in capsys.readouterr().err
    assert compare.main([*arguments, str(report), "--force"]) == 0
    assert report.read_text() != "old"
    assert "\x1b" not in (printed := capsys.readouterr().out) and "\\x1b[2J" in printed
