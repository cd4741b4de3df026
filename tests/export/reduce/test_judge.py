"""Whether a file of reduced precision is good: accuracy decides, on the samples chosen."""

import dataclasses
import json

import keras
import numpy as np
import onnx
import onnxruntime
import pytest
from conftest import command_line, once
from onnx import numpy_helper

import export
from export import pipeline
from export.compare.outputs import Candidate, cases_of, compare_cases
from export.compare.run import run_keras
from export.compare.suites import suite_set
from export.graph.content import serialize
from export.reduce.judge import judge
from export.reduce.samples import choose_samples
from export.report.html import to_html
from export.task import Task
from export.verify import verify

pytestmark = [once, pytest.mark.usefixtures("warm_conversions")]


CLASSES = Task("classes")


def classifier(classes=3):
    inputs = keras.Input((4,), name="x")
    return keras.Model(inputs, keras.layers.Dense(classes, name="scores")(inputs))


def test_samples_are_the_data_with_labels_without_or_random_inputs():
    x = np.zeros((5, 4))
    labelled = choose_samples(classifier(), {"x": x, "labels": np.arange(5) % 3}, (0, 1), CLASSES)
    assert labelled.truth.tolist() == [0, 1, 2, 0, 1] and "accuracy on the 5" in labelled.criterion
    one_hot = choose_samples(
        classifier(), {"x": x, "labels": np.eye(3)[[2, 1, 0, 1, 2]]}, (0, 1), CLASSES
    )
    assert one_hot.truth.tolist() == [2, 1, 0, 1, 2]
    assert choose_samples(classifier(), {"x": x}, (0, 1), CLASSES).truth is None
    parts = choose_samples(classifier(), {"x": x + np.arange(5)[:, None]}, (0, 1), CLASSES, True)
    assert [len(array) for (array,) in (parts.calibration, parts.inputs)] == [2, 3]
    together = np.concatenate([parts.calibration[0], parts.inputs[0]])[:, 0]
    assert sorted(together) == [0, 1, 2, 3, 4]
    assert "the 3 samples of the data that it was not calibrated on" in parts.criterion
    with pytest.raises(export.UsageError, match="2 samples or more"):
        choose_samples(classifier(), {"x": x[:1]}, (0, 1), CLASSES, calibrated=True)
    drawn = choose_samples(classifier(), None, (-1, 1), CLASSES)
    assert "random" in drawn.criterion and -1 <= drawn.inputs[0].min() < 0


@pytest.mark.parametrize("labels", [[0, 1], [0, 1, 3], [0, 1, -1], [0.0, 1.0, 2.0], [["a"] * 3]])
def test_labels_that_do_not_fit(labels):
    data = {"x": np.zeros((3, 4)), "labels": np.array(labels)}
    with pytest.raises(export.UsageError, match="right label of each sample"):
        choose_samples(classifier(), data, (0, 1), CLASSES)


def test_accuracy_decides(saved_capsnet, file, batches):
    """A file whose classes are rotated finds another label each time, though it is as finite."""
    model = keras.models.load_model(saved_capsnet)
    rotated = onnx.ModelProto()
    rotated.CopyFrom(file)
    (kernel,) = [t for t in rotated.graph.initializer if t.name == "class_capsules/matmul/B"]
    votes = numpy_helper.to_array(kernel).reshape(*kernel.dims[:2], 4, 6)
    turned = np.roll(votes, 1, axis=2).reshape(tuple(kernel.dims))
    kernel.CopyFrom(numpy_helper.from_array(turned, kernel.name))
    images = batches[0]["image"]
    labels = model.predict(images, verbose=0).argmax(axis=1)
    truth = np.where(np.arange(8) < 2, (labels + 1) % 4, labels)  # The model is right on six of 8.
    samples = choose_samples(model, {"image": images, "labels": truth}, (0, 1), CLASSES)
    inputs = suite_set(model).ordinary
    expected = [run_keras(model, suite) for suite in inputs]
    cases = cases_of(model, inputs, expected, "none")

    def candidate(file):
        return Candidate(file, serialize(file), compare_cases(model, file, cases))

    right, wrong = candidate(file), candidate(rotated)

    def judged(reduced, max_drop):
        options = export.ExportOptions(max_drop=max_drop, batch=3)
        return judge(model, right, reduced, samples, options)

    same = judged(right, max_drop=0)
    assert same.passed and same.drop == 0 and same.model == 75
    assert [row.score for row in same.rows] == [75, 75]
    worse = judged(wrong, max_drop=49.9)
    assert worse.rows[1].score == 25 and worse.drop == 50 and not worse.passed
    assert judged(wrong, max_drop=50).passed


def test_int8_on_the_command_line(saved_capsnet, tmp_path, generator):
    images = generator.uniform(size=(40, 12, 12, 1)).astype("float32")
    labels = keras.models.load_model(saved_capsnet).predict(images, verbose=0).argmax(axis=1)
    np.savez(tmp_path / "data.npz", image=images, labels=labels)
    target, report = tmp_path / "model.onnx", tmp_path / "report.json"
    arguments = (saved_capsnet, "-o", target, "--report", report, "--precision", "int8")
    result = command_line(*arguments, "--data", tmp_path / "data.npz", "--max-drop", "10")
    assert result.returncode == 0, result.stdout + result.stderr
    assert "PASSED: int8 loses" in result.stdout and "20 labelled samples" in result.stdout
    as_json = json.loads(report.read_text())
    float32, int8 = as_json["precision"]["rows"]
    assert float32["score"] == 100 and float32["max_abs"] <= 1e-5 < int8["max_abs"]
    assert int8["bytes"] == as_json["file"]["bytes"] == target.stat().st_size
    assert all(row["latency_ms"] > 0 for row in (float32, int8))
    properties = onnxruntime.InferenceSession(target).get_modelmeta().custom_metadata_map
    assert properties["precision"] == "int8"
    assert json.loads(properties["verification"])["max_drop"] == 10
    assert verify(target).passed


def test_a_file_that_loses_too_much_is_not_written(saved_capsnet, tmp_path, monkeypatch):
    def fail(*arguments):
        return dataclasses.replace(judge(*arguments), passed=False)

    monkeypatch.setattr(pipeline, "judge", fail)
    with pytest.raises(export.ParityError, match="(?s)float16 loses.*was not written") as caught:
        export.export_onnx(saved_capsnet, tmp_path / "model.onnx", precision="float16")
    assert caught.value.exit_code == 1 and not caught.value.report.passed
    assert json.loads(caught.value.report.to_json())["verdict"] == "failed"
    page = to_html(caught.value.report)
    assert "float16 loses 0.00 percentage points" in page and "In float16" in page
    assert list(tmp_path.iterdir()) == []


def test_options_that_cannot_be_had(tmp_path):
    for options, message in (
        ({"precision": "int8"}, "--data"),
        ({"precision": "bfloat16"}, "float32, float16, int8"),
        ({"max_drop": float("nan")}, "percentage points"),
    ):
        with pytest.raises(export.UsageError, match=message):
            export.export_onnx(classifier(), tmp_path / "model.onnx", **options)


def test_a_sequential_model_with_more_samples_than_are_compared(tmp_path, generator):
    layers = [keras.Input((4,), name="x"), keras.layers.Dense(3, activation="softmax")]
    data = {"x": generator.uniform(size=(300, 4)).astype("float32")}
    target = tmp_path / "model.onnx"
    report = export.export_onnx(keras.Sequential(layers), target, precision="float16", data=data)
    assert report.passed and [row.precision for row in report.precision.rows][1] == "float16"
    assert {entry.suite.label: entry.suite.samples for entry in report.comparisons}[
        "real, all"
    ] == 300


def test_a_file_that_saves_nothing_says_so(tmp_path, generator):
    data = {"x": generator.normal(size=(40, 4)).astype("float32")}
    options = {"precision": "int8", "data": data, "max_drop": 100}
    report = export.export_onnx(classifier(), tmp_path / "model.onnx", **options)
    assert report.precision.rows[1].bytes > report.precision.rows[0].bytes
    assert "int8 saves no bytes in a model this small" in report.to_text()
