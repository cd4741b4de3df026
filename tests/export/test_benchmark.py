"""`python -m export.benchmark`: what it measures is right where it can be computed otherwise."""

import json

import numpy as np
import onnx
import pytest
from conftest import once, run_python
from onnx import TensorProto, helper, numpy_helper

from export.benchmark import measure
from export.benchmark.__main__ import main

pytestmark = once

KERNEL = np.random.default_rng(0).normal(size=(4, 3)).astype("float32")
X = np.random.default_rng(1).normal(size=(70, 4)).astype("float32")
LABELS = np.random.default_rng(2).integers(0, 3, 70)


def write(path, kernel, batch="batch", size=4):
    """A file of another exporter, without metadata: a product."""
    values = [
        helper.make_tensor_value_info("x", TensorProto.FLOAT, [batch, size]),
        helper.make_tensor_value_info("y", TensorProto.FLOAT, [batch, kernel.shape[1]]),
    ]
    node = helper.make_node("MatMul", ["x", "kernel"], ["y"])
    weights = [numpy_helper.from_array(kernel, "kernel")]
    graph = helper.make_graph([node], "graph", values[:1], values[1:], weights)
    opsets = [helper.make_opsetid("", 17)]
    onnx.save(helper.make_model(graph, opset_imports=opsets, ir_version=8), path)
    return str(path)


@pytest.fixture(autouse=True)
def brief(monkeypatch):
    monkeypatch.setattr(measure, "_SECONDS", 0.002)


def test_rows(tmp_path):
    moved = KERNEL.copy()
    moved[0, 0] += 0.5
    files = [write(tmp_path / "a.onnx", KERNEL), write(tmp_path / "b.onnx", moved)]
    files.append(write(tmp_path / "wide.onnx", np.ones((4, 5), "float32")))
    data = {"x": X, "labels": LABELS}
    rows = measure.benchmark(files, data, threads=(1, 2), batches=(1, 16))
    keys = [(row.threads, row.batch, row.file) for row in rows]
    assert keys == [(t, b, f) for t in (1, 2) for b in (1, 16) for f in files]
    first, second, wide = rows[3:6]
    for row, kernel in ((first, KERNEL), (second, moved)):
        assert row.accuracy == pytest.approx(100 * np.mean((X @ kernel).argmax(1) == LABELS))
        assert row.size == len(open(row.file, "rb").read())
        assert 0 < row.p50_ms <= row.p99_ms and row.load_ms > 0 and row.first_ms > 0
        assert 0 <= row.memory < 1 << 30
    assert (first.ratio, first.difference) == (1.0, 0.0)
    assert second.ratio == pytest.approx(second.p50_ms / first.p50_ms)
    largest = np.abs(X[:16] @ KERNEL).max()
    apart = np.abs(X[:16] @ KERNEL - X[:16] @ moved).max()
    assert second.difference == pytest.approx(apart / largest, rel=1e-5)
    assert wide.difference is None


def test_a_slower_file_takes_longer(tmp_path):
    small = write(tmp_path / "small.onnx", np.ones((2048, 8), "float32"), size=2048)
    large = write(tmp_path / "large.onnx", np.ones((2048, 2048), "float32"), size=2048)
    rows = measure.benchmark([small, large], batches=(8,))
    assert rows[1].ratio > 3
    assert rows[1].memory - rows[0].memory > 8 << 20  # Of 16 MiB of weights more.


def test_the_command(tmp_path):
    files = [write(tmp_path / f"{name}.onnx", KERNEL) for name in "ab"]
    np.savez(tmp_path / "data.npz", x=X, labels=LABELS)
    picture = tmp_path / "found.png"
    arguments = ["--data", tmp_path / "data.npz", "--figure", picture, "--json"]
    found = run_python("-m", "export.benchmark", *files, *arguments)
    assert [row["file"] for row in json.loads(found.stdout)] == files
    assert picture.read_bytes().startswith(b"\x89PNG")
    assert main([files[0]]) == 0


def test_bad_input(tmp_path, capsys):
    fixed = write(tmp_path / "fixed.onnx", KERNEL, batch=2)
    open_size = write(tmp_path / "open.onnx", KERNEL, size="features")
    (tmp_path / "text.onnx").write_text("hello")
    (tmp_path / "empty.npz").write_bytes(b"")
    np.savez(tmp_path / "other.npz", image=X)
    for arguments, code, words in [
        ([], 5, "FILE"),
        ([tmp_path / "none.onnx"], 5, "There is no file"),
        ([tmp_path / "text.onnx"], 4, "cannot be loaded"),
        ([fixed], 5, "No file takes batches of 1"),
        ([open_size], 5, "pass --data with samples"),
        ([fixed, "--batch", "0"], 5, "numbers from 1 to 1024"),
        ([fixed, "--threads", "many"], 5, "--threads"),
        ([fixed, "--batch", "2", "--providers", "Abacus"], 5, "The providers here are"),
        ([fixed, "--data", tmp_path / "empty.npz"], 5, "numpy.savez"),
        ([fixed, "--batch", "2", "--data", tmp_path / "other.npz"], 5, "must have samples of x"),
    ]:
        assert main([str(argument) for argument in arguments]) == code, arguments
        printed = capsys.readouterr().err
        assert words in printed and "Traceback" not in printed, printed
