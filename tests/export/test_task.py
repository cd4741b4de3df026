"""What scores mean: recognised, read, judged, and answered on the device."""

import keras
import numpy as np
import pytest
from conftest import once

import export
from export.device import Predictor
from export.options import ExportOptions
from export.task import Task, task_of

pytestmark = [once, pytest.mark.usefixtures("warm_conversions")]

layers = keras.layers


def dense(columns, activation=None):
    inputs = keras.Input((4,), name="x")
    return keras.Model(inputs, layers.Dense(columns, activation, name="scores")(inputs))


def mask():
    inputs = keras.Input((6, 6, 1), name="x")
    return keras.Model(inputs, layers.Conv2D(1, 1, activation="sigmoid", name="scores")(inputs))


@pytest.mark.parametrize(
    ("model", "kind"),
    [
        (lambda: dense(3, "softmax"), "classes"),
        (lambda: dense(3), "classes"),
        (lambda: dense(3, "sigmoid"), "labels"),
        (lambda: dense(1, "sigmoid"), "binary"),
        (lambda: dense(1), "regression"),
        (mask, "segmentation"),
    ],
)
def test_the_last_activation_decides(model, kind):
    model = model()
    assert task_of(model, ExportOptions()).kind == kind
    nested = keras.Model(model.input, keras.Sequential([model])(model.input))
    assert task_of(nested, ExportOptions()).kind == kind
    assert task_of(model, ExportOptions(task="labels", threshold=0.2)) == Task("labels", 0.2)


def test_scores_in_percent():
    scores = np.array([[0.1, 0.7, 0.2], [0.6, 0.3, 0.1], [0.2, 0.3, 0.5], [0.9, 0.0, 0.1]])
    classes = Task("classes")
    assert classes.score(classes.answers(scores), np.array([1, 0, 2, 1])) == 75
    labels = Task("labels", 0.3)
    truth = labels.truth(np.array([[0, 1, 0], [1, 1, 0], [0, 0, 1], [1, 0, 0]]), (4, 3))
    assert labels.score(labels.answers(scores), truth) == pytest.approx(100 * 11 / 12)
    binary = Task("binary", 0.5)
    answers = binary.answers(scores[:, 1:2])
    assert answers.tolist() == [True, False, False, False]
    assert binary.score(answers, binary.truth(np.array([[1], [0], [1], [0]]), (4, 1))) == 75
    regression = Task("regression")
    truth = regression.truth(np.array([1.0, 2.0, 3.0, 4.0]), (4, 1))
    off = regression.answers(truth + 0.5)
    assert regression.score(off, truth) == pytest.approx(100 * (1 - 0.5 / np.std([1, 2, 3, 4])))
    segmentation = Task("segmentation")
    truth = np.array([[[0, 0], [1, 1]]])
    found = segmentation.answers(np.array([[[0.1, 0.9], [0.9, 0.9]]])[..., None])
    assert found.tolist() == [[[False, True], [True, True]]]
    assert segmentation.score(found, truth) == pytest.approx(100 * (1 / 2 + 2 / 3) / 2)


@pytest.mark.parametrize(
    ("kind", "array", "shape"),
    [
        ("classes", [0, 1, 3], (3, 3)),
        ("labels", [[0, 2], [1, 1]], (2, 2)),
        ("binary", [0.5, 1.0], (2, 1)),
        ("regression", [1.0, 2.0, 3.0], (2, 1)),
        ("segmentation", [[0, 1]], (1, 2, 2, 2)),
    ],
)
def test_right_answers_that_do_not_fit(kind, array, shape):
    with pytest.raises(export.UsageError, match=f"task '{kind}'"):
        Task(kind).truth(np.array(array), shape)


def test_several_labels_at_once_on_the_device(tmp_path):
    keras.utils.set_random_seed(0)
    model, path = dense(3, "sigmoid"), tmp_path / "model.onnx"
    report = export.export_onnx(model, path, labels=["ant", "bee", "cat"], threshold=0.4)
    assert "task    labels" in report.to_text()
    x = np.random.default_rng(0).normal(size=(20, 4)).astype("float32")
    predictor, scores = Predictor(path), model.predict(x, verbose=0)
    assert (predictor.task, predictor.threshold) == ("labels", 0.4)
    names = np.array(["ant", "bee", "cat"])
    expected = [", ".join(names[row >= 0.4]) or "none" for row in scores]
    assert [prediction.label for prediction in predictor.predict(x)] == expected
    assert any("," in label for label in expected)


def test_one_score_on_the_device(tmp_path):
    keras.utils.set_random_seed(0)
    model, path = dense(1, "sigmoid"), tmp_path / "model.onnx"
    export.export_onnx(model, path, labels=["good", "broken"])
    x = np.random.default_rng(0).normal(size=(20, 4)).astype("float32")
    expected = ["broken" if score >= 0.5 else "good" for score in model.predict(x, verbose=0)]
    assert [prediction.label for prediction in Predictor(path).predict(x)] == expected


@pytest.mark.parametrize("build", [lambda: dense(3, "sigmoid"), lambda: dense(1), mask])
def test_reduced_precision_is_judged_by_the_task(tmp_path, build):
    keras.utils.set_random_seed(0)
    model = build()
    x = np.random.default_rng(0).normal(size=(64, *model.input.shape[1:])).astype("float32")
    scores = model.predict(x, verbose=0)
    truth = scores + 0.01 if model.output.shape[-1] == 1 and scores.ndim == 2 else scores >= 0.5
    for precision in ("float16", "int8"):
        report = export.export_onnx(
            model,
            tmp_path / "model.onnx",
            data={"x": x, "labels": truth},
            input_range=(-3, 3),
            precision=precision,
            max_drop=10,
            force=True,
        )
        assert report.passed and report.precision.model > 95
        assert Task(report.task).counted in report.precision.criterion


def test_a_threshold_that_is_no_number_is_refused(tmp_path):
    for threshold in (np.nan, np.inf):
        with pytest.raises(export.UsageError, match=f"must be finite. Received: {threshold}"):
            export.export_onnx(mask(), tmp_path / "model.onnx", threshold=threshold)
