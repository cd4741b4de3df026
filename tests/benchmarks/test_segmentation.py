"""The comparison of networks that segment: resumable runs, and a report of their lines."""

import json
import re

import numpy as np
import pytest
from conftest import once

from benchmarks import segmentation
from examples import train
from examples.recipes import _shapes
from keras_capsules.datasets import shapes

pytestmark = once


@pytest.mark.slow
def test_runs_are_resumed_and_reported(data, tmp_path, capsys):
    results = tmp_path / "lines.jsonl"
    few = ["--names", "unet", "--seeds", "1", "--epochs", "1", "--results", str(results)]
    segmentation.main([*few, "--weights", str(tmp_path)])
    (row,) = map(json.loads, results.open())
    assert row["name"] == "unet" and row["seed"] == 0 and 0 <= row["dice_objects_45"] <= 1
    model = train.build("unet", segmentation.recipe_of("unet"))
    model.load_weights(tmp_path / "unet-0" / "model.weights.h5")
    images, masks = shapes(32, 1024, 500)[1]
    found = model.predict(images / np.float32(255), verbose=0).argmax(axis=-1)
    assert _shapes.dice(found, masks) == pytest.approx(row["dice"], abs=1e-6)
    capsys.readouterr()
    segmentation.main(few)
    printed = capsys.readouterr().out
    assert "0 runs to do" in printed and f"| {100 * row['dice']:.1f} ± 0.0 |" in printed


def test_the_networks_are_equally_large():
    sizes = [
        train.build(name, segmentation.recipe_of(name)).count_params()
        for name in segmentation.NAMES
    ]
    assert max(sizes) < 1.002 * min(sizes)


def test_report_without_runs(tmp_path, capsys):
    with pytest.raises(SystemExit):
        segmentation.main(["--report", "--results", str(tmp_path / "none.jsonl")])
    assert "leave out --report" in capsys.readouterr().err


def test_dice_of_the_objects(generator):
    masks, found = generator.integers(5, size=(2, 3, 8, 8))
    expected = []
    for number in (1, 2, 3, 4):
        pairs = list(zip(found.ravel() == number, masks.ravel() == number, strict=True))
        both = sum(a and b for a, b in pairs)
        expected.append(2 * both / sum(int(a) + int(b) for a, b in pairs))
    assert _shapes.dice(found, masks) == pytest.approx(np.mean(expected))
    assert _shapes.dice(masks, masks) == 1 and _shapes.dice(0 * masks, masks) == 0


def test_the_table_has_the_mean_over_the_seeds():
    run = {"name": "unet", "epochs": 1, "parameters": 1000}
    rows = [
        run | {"seed": seed, "dice": score, "train_seconds": 2.0}
        for seed, score in enumerate((0.5, 0.7, 0.9))
    ]
    *_, last = segmentation.report(rows)
    assert re.fullmatch(r"\| unet \|.*\| 3 \| 1,000 \| 70.0 ± 20.0 \| 2.0 ± 0.0 \|", last)
