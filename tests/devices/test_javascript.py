"""devices/javascript answers and verifies in Node and Chromium as the Python files do."""

import re
import shutil
import subprocess

import numpy as np
import onnx
import pytest
from conftest import ROOT, once

from export.device import Predictor
from export.verify import replay, seal_path
from tests.devices.cases import as_json, image_of, job_of

pytestmark = [once, pytest.mark.slow]
NAMES = "classes uint8 planes labels binary signal mask several tokens batch".split()
PICTURES = ["classes", "planes", "batch"]


@pytest.fixture(scope="session", params=["node", "chromium"])
def answers(request, cases):
    """Returns the answer of Node, or of Chromium, for each file by name."""
    folder, found = cases
    jobs = []
    for name, case in found.items():
        job = job_of(folder, name)
        job["inputs"] = {key: as_json(array) for key, array in case.inputs.items()}
        if case.samples is not None:
            job["pixels"] = as_json(case.samples)
        if name in PICTURES:
            job["image"] = image_of(case.samples[0], first=name == "planes")
        jobs.append(job)
    ask = request.getfixturevalue(request.param)
    return dict(zip(found, ask(folder, jobs)[0], strict=True))


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


@pytest.mark.parametrize("name", PICTURES)
def test_a_picture_is_the_array_of_its_pixels(cases, answers, name):
    """A canvas in Chromium, whose pixels have the file's channels, layout and size."""
    folder, found = cases
    expected = Predictor(folder / f"{name}.onnx").predict(found[name].samples[:1])[0]
    (prediction,) = answers[name]["pictured"]
    np.testing.assert_allclose(prediction["scores"], expected.scores, atol=1e-5)
    assert prediction["label"] == expected.label


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


def test_the_snippet_of_the_page(node, cases, tmp_path):
    """Runs it with the package installed, on a file for images of 8 x 8 pixels."""
    code = re.search(r"```javascript\n(.*?)```", (ROOT / "docs/device.md").read_text(), re.S)[1]
    (tmp_path / "snippet.mjs").write_text(code)
    for end in ("", ".golden.npz"):
        shutil.copy(cases[0] / f"batch.onnx{end}", tmp_path / f"digits.onnx{end}")
    (tmp_path / "node_modules").mkdir()
    (tmp_path / "node_modules/keras-capsules").symlink_to(ROOT / "devices/javascript")
    command = ["node", "snippet.mjs"]
    result = subprocess.run(command, capture_output=True, text=True, cwd=tmp_path, timeout=120)
    (expected,) = Predictor(tmp_path / "digits.onnx").predict(np.zeros((8, 8, 1), "uint8"))
    passed, label, score = result.stdout.split()
    assert (passed, label) == ("true", expected.label), result.stderr
    assert float(score) == pytest.approx(expected.score, abs=1e-5)
