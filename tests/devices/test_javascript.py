"""devices/javascript answers and verifies in Node as the Python files do."""

import io
import zipfile

import numpy as np
import onnx
import pytest
from conftest import once

from export.device import Predictor
from export.verify import replay, seal_path
from tests.devices.cases import as_json, job_of

pytestmark = [once, pytest.mark.slow]
NAMES = "classes uint8 planes labels binary signal mask several tokens batch".split()


@pytest.fixture(scope="session")
def answers(node, cases):
    """Returns Node's answer for each file by name."""
    folder, found = cases
    jobs = []
    for name, case in found.items():
        job = job_of(folder, name)
        job["inputs"] = {key: as_json(array) for key, array in case.inputs.items()}
        jobs.append(job | ({} if case.samples is None else {"pixels": as_json(case.samples)}))
    return dict(zip(found, node(folder, jobs)[0], strict=True))


@pytest.mark.parametrize("name", NAMES)
def test_outputs_are_those_of_onnxruntime(cases, answers, name):
    folder, found = cases
    expected = Predictor(folder / f"{name}.onnx").run(found[name].inputs)
    outputs = answers[name]["outputs"]
    assert outputs.keys() == expected.keys()
    largest = 0
    for key, output in outputs.items():
        assert output["dims"] == list(expected[key].shape)
        difference = np.abs(np.array(output["data"]) - expected[key].ravel()).max()
        largest = max(largest, difference)
    print(f"{name}: largest difference {largest:.1e}")
    assert largest <= 1e-5


@pytest.mark.parametrize("name", sorted(set(NAMES) - {"mask", "several"}))
def test_predictions_are_those_of_the_device(cases, answers, name):
    folder, found = cases
    expected = Predictor(folder / f"{name}.onnx").predict(found[name].samples)
    predictions = answers[name]["predictions"]
    assert [p["label"] for p in predictions] == [p.label for p in expected]
    for prediction, wanted in zip(predictions, expected, strict=True):
        np.testing.assert_allclose(prediction["scores"], wanted.scores, atol=1e-5)
        assert prediction["score"] == pytest.approx(wanted.score, abs=1e-5)


def test_the_labels_differ_from_sample_to_sample(answers):
    """Otherwise their equality shows nothing; one score is the threshold in float32."""
    assert [p["label"] for p in answers["labels"]["predictions"]] == ["ant", "none"]
    assert len({p["label"] for p in answers["classes"]["predictions"]}) > 1


@pytest.mark.parametrize("name", NAMES)
def test_verify_makes_the_comparisons_of_export_verify(cases, answers, name):
    file = cases[0] / f"{name}.onnx"
    expected = replay(file.read_bytes(), seal_path(file).read_bytes())
    verdict = answers[name]["verdict"]
    assert verdict["passed"] and verdict["fellBack"] is None
    assert (verdict["sha256"], verdict["reference"]) == (expected.sha256, expected.reference)
    for check, wanted in zip(verdict["checks"], expected.checks, strict=True):
        facts = (check["output"], check["suite"], check["samples"], check["allowed"])
        assert facts == (wanted.output, wanted.suite, wanted.samples, wanted.allowed)
        assert abs(check["maxAbs"] - wanted.max_abs) <= check["allowed"]


def test_pictures_are_fitted(node, cases):
    """A picture without transparency, of the size of the file or of any."""
    folder, found = cases
    answers = []
    for name, last in (("classes", True), ("planes", False), ("batch", True)):
        sample = found[name].samples[:1]
        image = sample[0] if last else np.moveaxis(sample[0], 0, -1)
        alpha = np.full((*image.shape[:2], 1), 255)
        rgba = np.concatenate([np.broadcast_to(image, (*image.shape[:2], 3)), alpha], axis=-1)
        height, width = image.shape[:2]
        picture = {"width": width, "height": height, "data": rgba.ravel().tolist()}
        expected = Predictor(folder / f"{name}.onnx").predict(sample)[0]
        answers.append((job_of(folder, name, image=picture), expected))
    jobs, predictions = zip(*answers, strict=True)
    for answer, expected in zip(node(folder, jobs)[0], predictions, strict=True):
        np.testing.assert_allclose(answer["predictions"][0]["scores"], expected.scores, atol=1e-5)


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
    middle = len(content) // 2
    flipped = bytearray(content)
    flipped[content.index(b"\x93NUMPY") + 140] ^= 1
    yield from (b"", b"text", content[:middle], content[:-5], bytes(flipped))
    arrays = dict(np.load(io.BytesIO(content)))
    output = next(name for name in arrays if "output" in name)
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


def test_wrong_inputs_are_told(node, cases, tmp_path):
    folder, _ = cases
    floats = as_json(np.zeros((1, 8, 8, 1), "float32"))
    properties = onnx.load(folder / "uint8.onnx")
    del properties.metadata_props[:]
    onnx.save(properties, tmp_path / "plain.onnx")
    cases_and_words = [
        (job_of(folder, "uint8", pixels=floats), "Pass pixels from 0 to 255 as Uint8Array"),
        (job_of(folder, "several", pixels=floats), "Call run() with the inputs left, right"),
        (job_of(folder, "mask", pixels=floats), "The model gives no scores"),
        (job_of(folder, "classes", pixels=floats), "image takes arrays of shape (batch, 8, 8, 3)"),
        (job_of(folder, "several", inputs={"left": floats}), "each of the inputs left, right"),
        (job_of(folder, "uint8", file=str(tmp_path / "plain.onnx")), "did not export it"),
        ({"file": __file__}, "it is not an ONNX file"),
    ]
    found = node(tmp_path, [job for job, _ in cases_and_words])[0]
    for answer, (_, words) in zip(found, cases_and_words, strict=True):
        assert words in answer["error"]
