"""Each example runs as printed, on the active backend."""

import importlib.util
import re
import shutil

import keras
import numpy as np
import pytest
from conftest import ROOT, once_under_torch, run_python

from export.device import Predictor

pytest.importorskip("sklearn")
Image = pytest.importorskip("PIL.Image")
pytestmark = pytest.mark.slow
CAN_COMPILE = importlib.util.find_spec("emx_onnx_cgen") is not None and bool(shutil.which("gcc"))


@pytest.mark.skipif(keras.backend.backend() == "jax", reason="compiles for a minute; `make demo`")
def test_quickstart(tmp_path):
    """In an empty folder. The figures are those of the README."""
    output = run_python(ROOT / "examples/quickstart.py", cwd=tmp_path).stdout
    table = dict(re.findall(r"^(\w[\w ]*?)\s{2,}(.*)$", output[output.rindex("backend ") :], re.M))
    told = readme_column(keras.backend.backend())
    accuracy = float(table["test accuracy"].split()[0])
    assert accuracy == pytest.approx(float(told["test accuracy, 360 digits"].split()[0]), abs=1)
    assert table["parameters"] == told["parameters"]
    size = float(told["file size, bytes"].replace(",", ""))
    assert float(table["file size"].split()[0].replace(",", "")) == pytest.approx(size, rel=0.01)
    assert float(table["parity"].split()[0]) <= 1e-5
    assert table["same label"] == "360 of 360 on the device"
    assert re.match(r"p50 [\d.]+ ms, p99 [\d.]+ ms", table["latency"])
    files = {path.name for path in (tmp_path / "build/quickstart").iterdir()}
    model = {"model.keras", "model.onnx", "model.onnx.golden.npz"}
    assert ("read in C" in table) == CAN_COMPILE
    if CAN_COMPILE:
        assert re.fullmatch(r"\d, with [\d,]+ bytes of flash and [\d,]+ of RAM", table["read in C"])
        model |= {"model.c", "model.h", "model_selftest.c", "digit.c", "digit"}
    assert files == model | {"held_out.npy", "digit.png"}


def readme_column(backend):
    """Returns the README's table of the demo under a backend."""
    text = (ROOT / "README.md").read_text()
    rows = re.findall(r"^\| ([^|]+) \| ([^|]+) \| ([^|]+) \| ([^|]+) \|$", text, re.M)
    place = 1 + [name.strip("`") for name in rows[0][1:]].index(backend)
    return {row[0]: row[place] for row in rows}


@once_under_torch
def test_photos(tmp_path, generator):
    """On a few pictures of two colours."""
    for name, colour in (("blue", (0, 0, 255)), ("red", (255, 0, 0))):
        (tmp_path / "photos" / name).mkdir(parents=True)
        for number in range(15):
            noise = generator.integers(0, 99, (40, 50, 3))
            picture = Image.fromarray(np.clip(noise + colour, 0, 255).astype("uint8"))
            picture.save(tmp_path / "photos" / name / f"{number}.png")
    command = ("photos", "--size", "32", "--epochs", "2")
    output = run_python(ROOT / "examples/photos.py", *command, cwd=tmp_path).stdout
    table = dict(re.findall(r"^(\w[\w ]*?)\s{2,}(.*)$", output[output.rindex("head ") :], re.M))
    assert table["pictures"] == "19 to train, 5 to validate, 6 to test"
    assert table["accuracy of the model"] == table["accuracy on the device"]
    folder = tmp_path / "build/photos"
    assert {"confusion.png", "model.keras", "model.onnx", "photos.html"} <= {
        path.name for path in folder.iterdir()
    }
    assert Predictor(folder / "model.onnx").labels == ["blue", "red"]


def test_photos_that_are_not_there(tmp_path):
    done = run_python(ROOT / "examples/photos.py", "nowhere", cwd=tmp_path, check=False)
    assert done.returncode == 2 and "There is no folder nowhere" in done.stderr
    assert "Traceback" not in done.stderr and not (tmp_path / "build").exists()
