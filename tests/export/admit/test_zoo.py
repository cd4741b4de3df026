"""Models of the zoo by name, on the command line."""

import json

import numpy as np
import pytest
from conftest import once

from export import to_onnx
from export.device import Predictor
from keras_capsules.models import examples

pytestmark = [once, pytest.mark.usefixtures("warm_conversions")]


def test_the_command_line_exports_by_name(tmp_path, capsys):
    path = tmp_path / "digits.onnx"
    arguments = ["--model", "efficient_capsnet", "--weights", "mnist", "-o", str(path)]
    assert to_onnx.main([*arguments, "--report", str(tmp_path / "report.json")]) == 0
    vectors = examples("efficient_capsnet", "mnist")
    scores = Predictor(path).run({"image": vectors["image"]})["scores"]
    np.testing.assert_allclose(scores, vectors["scores"], rtol=0, atol=1e-5)
    assert Predictor(path).labels == list("0123456789")  # Of the card.
    assert json.loads((tmp_path / "report.json").read_text())["verdict"] == "passed"
    for wrong, message in (
        (["--model", "efficient_capsnet"], "Add --weights"),
        (["--model", "efficient_capsnet", "--weights", "mnits"], "Received: weights='mnits'"),
        (["model.keras", "--weights", "mnist"], "only with --model NAME"),
        ([], "Pass either the file MODEL or --model"),
        (["model.keras", "--model", "capsnet", "--weights", "mnist"], "Pass either"),
        (["--model", "capsnets", "--weights", "mnist"], "Unknown model"),
    ):
        capsys.readouterr()
        assert to_onnx.main([*wrong, "-o", str(tmp_path / "other.onnx")]) == 5
        assert message in capsys.readouterr().err
