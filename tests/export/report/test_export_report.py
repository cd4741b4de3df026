"""The report as JSON and as files: complete, and written where it is asked for."""

import dataclasses
import importlib.util
import json
import platform

import pytest
from conftest import once

from export import ParityError, UsageError, to_onnx
from export.report.html import to_html
from export.report.text import parts_in_words
from export.results import Part


@pytest.fixture
def report(exported_capsnet):
    return exported_capsnet[1]


def test_facts_of_the_machine(report):
    found = json.loads(report.to_json())
    assert found["environment"]["python"] == platform.python_version()
    assert int(found["environment"]["cores"]) >= 1 and found["environment"]["cpu"]
    for times in found["latency_ms"].values():
        assert 0 < times["p50"] <= times["p99"]
    assert found["layers"][-1]["layer"] == "scores" and found["schema"] == 1
    assert all(entry["max_abs"] <= entry["allowed"] for entry in found["layers"])


@pytest.mark.parametrize("passes", [True, False])
@pytest.mark.parametrize("name", ["report.json", "report.html"])
def test_the_command_line_writes_it(report, tmp_path, monkeypatch, capsys, name, passes):
    def export_onnx(*arguments, **options):
        if not passes:
            failed = dataclasses.replace(report.comparisons[0], passed=False)
            raise ParityError("", dataclasses.replace(report, comparisons=[failed]))
        return report

    monkeypatch.setattr(to_onnx, "export_onnx", export_onnx)
    monkeypatch.setattr("export.admit.archive.check_model", lambda path: None)
    monkeypatch.setattr(to_onnx.signal, "signal", lambda *_: None)
    arguments = ["my model.keras", "-o", "model.onnx", "--report", str(tmp_path / name)]
    assert to_onnx.main(arguments) == (0 if passes else 1)
    text = (tmp_path / name).read_text()
    assert text.startswith("{\n" if name == "report.json" else "<!doctype html>")
    assert ("passed" if passes else "failed") in text.lower()
    assert (
        "my model.keras" in text and ("PASSED" if passes else "FAILED") in capsys.readouterr().out
    )


def test_a_page_without_jinja2(tmp_path, monkeypatch, capsys):
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None)
    monkeypatch.setattr(to_onnx.signal, "signal", lambda *_: None)
    arguments = ["model.keras", "-o", "model.onnx", "--report", str(tmp_path / "report.html")]
    assert to_onnx.main(arguments) == 5
    assert "pip install 'keras-capsules[export]'" in capsys.readouterr().err


def test_saving_from_python(report, tmp_path):
    for name in ("report.json", "report.html"):
        (tmp_path / name).write_text("old")
        report.save(tmp_path / name)
    report.save(str(tmp_path / "again.json"))
    assert (tmp_path / "report.json").read_text() == report.to_json()
    assert (tmp_path / "again.json").read_text() == report.to_json()
    assert (tmp_path / "report.html").read_text() == to_html(report)
    assert len(list(tmp_path.iterdir())) == 3


@pytest.mark.parametrize("name", ["report.txt", "report", "report.HTML", "missing/report.json"])
def test_a_path_that_no_report_can_have(report, tmp_path, name):
    with pytest.raises(UsageError, match="JSON or HTML.*Received|does not exist"):
        report.save(tmp_path / name)
    assert not list(tmp_path.iterdir())


def test_a_seal_that_does_not_hold_is_a_failure(report):
    assert json.loads(report.to_json())["seal_holds"] is True
    failed = dataclasses.replace(report, seal_holds=False)
    assert not failed.passed
    assert json.loads(failed.to_json()) | {"verdict": "passed", "seal_holds": True} == json.loads(
        report.to_json()
    )


@once
def test_of_many_layers_the_first_are_named():
    parts = [Part(f"block_{number}") for number in range(100)] + [Part("head", 0.1)]
    told = parts_in_words(parts)
    assert told.startswith("1 of 101 layers") and told.endswith("block_6, block_7 and 92 more")
    assert parts_in_words(parts[-3:]).endswith("block_98, block_99")
