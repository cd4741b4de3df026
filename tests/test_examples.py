"""Each example runs as printed, on the active backend."""

import re

import keras
import pytest
from conftest import ROOT, run_python

pytest.importorskip("sklearn")
pytestmark = pytest.mark.slow


@pytest.mark.skipif(keras.backend.backend() == "jax", reason="compiles for a minute; `make demo`")
def test_quickstart(tmp_path):
    """In a folder of its own; the figures are those that the README promises."""
    output = run_python(ROOT / "examples/quickstart.py", cwd=tmp_path).stdout
    table = dict(re.findall(r"^(\w[\w ]*?)\s{2,}(.*)$", output[output.rindex("backend ") :], re.M))
    assert float(table["test accuracy"].split()[0]) >= 97
    assert float(table["parity"].split()[0]) <= 1e-5
    assert table["same label"] == "360 of 360 on the device"
    assert re.match(r"p50 [\d.]+ ms, p99 [\d.]+ ms", table["latency"])
    files = {path.name for path in (tmp_path / "build/quickstart").iterdir()}
    model = {"model.keras", "model.onnx", "model.onnx.golden.npz"}
    assert files == model | {"held_out.npy", "digit.png"}
