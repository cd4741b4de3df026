"""devices/javascript finds damaged files and seals, and runtimes that compute otherwise."""

import io
import zipfile

import numpy as np
import onnx
import pytest
from conftest import once

from export.verify import replay, seal_path
from tests.devices.cases import job_of

pytestmark = [once, pytest.mark.slow]


def test_verify_finds_what_does_not_belong_together(node, cases, tmp_path):
    folder, _ = cases
    content = bytearray((folder / "classes.onnx").read_bytes())
    weights = max(
        onnx.load(folder / "classes.onnx").graph.initializer, key=lambda w: len(w.raw_data)
    )
    content[content.index(weights.raw_data) + 2] ^= 1
    (tmp_path / "flipped.onnx").write_bytes(content)
    other, seal = str(seal_path(folder / "uint8.onnx")), str(seal_path(folder / "classes.onnx"))
    jobs = [
        job_of(folder, "classes", file=str(tmp_path / "flipped.onnx"), seal=seal),
        job_of(folder, "classes", seal=other),
    ]
    for answer in node(tmp_path, jobs)[0]:
        assert "The model is not the one that was sealed" in answer["error"]


def damaged_seals(content):
    arrays = dict(np.load(io.BytesIO(content)))
    output = next(name for name in arrays if "output" in name)
    flipped = bytearray(content)
    flipped[content.index(arrays[output].tobytes())] ^= 1  # The last digit of a number.
    yield from (b"", b"text", content[: len(content) // 2], content[:-5], bytes(flipped))
    for changed in (
        {output: arrays[output][:-1]},
        {output: arrays[output].astype("float64")},
        {output: arrays[output].reshape(1, -1)},
        {output: np.array(["text"])},
        {"more": np.ones(1)},
        {"seal": np.frombuffer(b"{}", "uint8")},
        {"seal": np.frombuffer(b"[1", "uint8")},
    ):
        np.savez(buffer := io.BytesIO(), **{**arrays, **changed})
        yield buffer.getvalue()
    np.savez(buffer := io.BytesIO(), **{k: v for k, v in arrays.items() if k != output})
    yield buffer.getvalue()


def test_a_damaged_seal_is_told(node, cases, tmp_path):
    folder, _ = cases
    content = seal_path(folder / "classes.onnx").read_bytes()
    jobs = []
    for number, damaged in enumerate(damaged_seals(content)):
        (tmp_path / f"{number}.npz").write_bytes(damaged)
        jobs.append(job_of(folder, "classes", seal=str(tmp_path / f"{number}.npz")))
    for answer in node(tmp_path, jobs)[0]:
        assert answer["error"].startswith("The seal is damaged"), answer


def test_another_answer_than_the_sealed_one_fails(node, cases, tmp_path):
    """The seal has other outputs, NaN among them, and packed arrays."""
    folder, _ = cases
    file = folder / "classes.onnx"
    arrays = dict(np.load(seal_path(file)))
    outputs = [name for name in arrays if "output" in name]
    arrays[outputs[0]] += 0.25
    arrays[outputs[1]][0] = np.nan
    with zipfile.ZipFile(tmp_path / "other.npz", "w", zipfile.ZIP_DEFLATED, compresslevel=0) as zip:
        for name, array in arrays.items():
            np.save(buffer := io.BytesIO(), array)
            zip.writestr(f"{name}.npy", buffer.getvalue())
    expected = replay(file.read_bytes(), (tmp_path / "other.npz").read_bytes())
    job = job_of(folder, "classes", seal=str(tmp_path / "other.npz"))
    verdict = node(tmp_path, [job])[0][0]["verdict"]
    assert not verdict["passed"] and not expected.passed
    found = [np.inf if check["maxAbs"] is None else check["maxAbs"] for check in verdict["checks"]]
    assert np.isinf(found[1]) and found[0] == pytest.approx(0.25, abs=1e-5)
    assert [check["passed"] for check in verdict["checks"]] == [c.passed for c in expected.checks]


@pytest.mark.parametrize(
    "fault, words", [("wrong", "computes otherwise"), ("failing", "no such kernel")]
)
def test_a_faulty_webgpu_is_told_and_replaced(node, cases, tmp_path, fault, words):
    (answer,), warnings = node(tmp_path, [job_of(cases[0], "classes", fault=fault)])
    assert answer["verdict"]["passed"] and answer["providers"] == ["wasm"]
    assert words in answer["verdict"]["fellBack"] and words in warnings
