"""The comparison of networks that segment: resumable runs, and a report of their lines."""

import json
import re

import numpy as np
import pytest
from conftest import once, run_python

from benchmarks import segmentation
from keras_capsules import create_model
from keras_capsules.datasets import shapes

pytestmark = once


@pytest.mark.slow
def test_runs_are_resumed_and_reported(data, tmp_path, capsys):
    results = tmp_path / "lines.jsonl"
    few = ["--names", "unet", "--seeds", "1", "--epochs", "1", "--size", "16", "--train", "8"]
    few += ["--test", "4", "--results", str(results)]
    run_python("-m", "benchmarks.segmentation", *few, "--weights", str(tmp_path))
    (row,) = map(json.loads, results.open())
    assert row["name"] == "unet" and row["seed"] == 0 and 0 <= row["dice_objects_45"] <= 1
    path = str(tmp_path / "unet-0.weights.h5")
    model = create_model("unet", weights=path, input_shape=(16, 16, 1), num_classes=5)
    assert segmentation.dice(model, *shapes(16, 0, 4)[1]) == pytest.approx(row["dice"], abs=1e-6)
    segmentation.main(few)
    assert "0 of 1 runs to do" in capsys.readouterr().out
    segmentation.main([*few, "--report"])
    assert f"| {100 * row['dice']:.1f} ± 0.0 |" in capsys.readouterr().out


def test_report_without_runs(tmp_path, capsys):
    with pytest.raises(SystemExit):
        segmentation.main(["--report", "--results", str(tmp_path / "none.jsonl")])
    assert "leave out --report" in capsys.readouterr().err


class Fixed:
    """Stands for a model, with given classes."""

    def __init__(self, found):
        self.found = found

    def predict(self, images, **options):
        return np.eye(5)[self.found]


def test_dice_of_the_objects(generator):
    masks, found = generator.integers(5, size=(2, 3, 8, 8))
    expected = []
    for number in (1, 2, 3, 4):
        pairs = list(zip(found.ravel() == number, masks.ravel() == number, strict=True))
        both = sum(a and b for a, b in pairs)
        expected.append(2 * both / sum(int(a) + int(b) for a, b in pairs))
    assert segmentation.dice(Fixed(found), np.zeros((3, 8, 8, 1)), masks) == pytest.approx(
        np.mean(expected)
    )
    assert segmentation.dice(Fixed(masks), np.zeros((3, 8, 8, 1)), masks) == 1
    assert segmentation.dice(Fixed(0 * masks), np.zeros((3, 8, 8, 1)), masks) == 0


def test_the_table_has_the_mean_over_the_seeds():
    run = {"name": "unet", "epochs": 1, "size": 16, "train": 8, "test": 4, "batch": 4}
    run["parameters"] = 1000
    rows = [
        run | {"seed": seed, "dice": score, "train_seconds": 2.0}
        for seed, score in enumerate((0.5, 0.7, 0.9))
    ]
    *_, last = segmentation.report(rows)
    assert re.fullmatch(r"\| unet \|.*\| 3 \| 1,000 \| 70.0 ± 20.0 \| 2.0 ± 0.0 \|", last)
