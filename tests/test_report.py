"""The report as JSON and as a page: complete, escaped, and sufficient unto itself."""

import dataclasses
import importlib.util
import json
import math
import platform
import re
from html.parser import HTMLParser

import pytest

from export import ParityError, to_onnx
from export.html import to_html

HOSTILE = "<script>alert('1')</script>\"><img src=x onerror=alert(1)>"
PROVIDER = {
    **{"provider": "WebGPU", "source": HOSTILE, "nodes": 65, "remark": None},
    "unsupported": [{"node": "mask/and", "layer": "mask", "operation": "And", "reason": HOSTILE}],
    "conditions": {"Conv": HOSTILE},
}
VOID = {"meta", "rect", "line", "circle"}


class Page(HTMLParser):
    """Reads a page: its text, its tags with their attributes, and whether they are balanced."""

    def __init__(self, text):
        super().__init__()
        self.tags, self.open, self.text = [], [], ""
        self.feed(text)
        assert not self.open

    def handle_starttag(self, tag, attributes):
        self.tags.append((tag, dict(attributes)))
        if tag not in VOID:
            self.open.append(tag)

    def handle_startendtag(self, tag, attributes):
        self.tags.append((tag, dict(attributes)))

    def handle_endtag(self, tag):
        assert self.open.pop() == tag

    def handle_data(self, data):
        self.text += data

    def attributes(self, tag, **wanted):
        found = [attributes for name, attributes in self.tags if name == tag]
        return [a for a in found if all(a.get(key) == value for key, value in wanted.items())]


@pytest.fixture
def report(exported_capsnet):
    return dataclasses.replace(exported_capsnet[1])


def test_the_page_says_what_the_report_does(report):
    report.command = "python -m export.to_onnx model.keras -o model.onnx"
    page = Page(to_html(report))
    assert "Passed" in page.text and report.command in page.text
    for entry in report.comparisons:
        assert entry["suite"] in page.text and f"{entry['max_abs']:.1e}" in page.text
    for operation, count in report.file["operations"].items():
        assert page.attributes("svg", **{"aria-label": f"{operation}: {count}"})
    facts = [report.file["sha256"], *report.versions.values(), *report.environment.values()]
    for fact in [*facts, "image (batch, 12, 12, 1)", "python -m export.verify"]:
        assert fact in page.text


def test_the_page_loads_nothing_and_runs_nothing(report):
    html = to_html(report)
    page = Page(html)
    assert not {tag for tag, _ in page.tags} & {"script", "link", "img", "iframe", "object"}
    assert not {name for _, attributes in page.tags for name in attributes} & {"src", "href"}
    assert not re.search(r"https?:|@import|url\(", html)
    assert page.attributes("meta", name="viewport") and "prefers-color-scheme: dark" in html


def test_everything_is_escaped(report):
    worst = report.comparisons[0] | {"passed": False, "error": HOSTILE, "output": HOSTILE}
    report = dataclasses.replace(
        report,
        source=HOSTILE,
        target=HOSTILE,
        command=HOSTILE,
        first_divergence=HOSTILE,
        comparisons=[worst],
        layers=[{"layer": HOSTILE, "max_abs": 1e-3, "local": None}],
        edge=[{"check": HOSTILE, "finding": HOSTILE, "passed": False}],
        ort={"bytes": 1, "sha256": HOSTILE, "min_onnxruntime": HOSTILE, "identical_on": []},
        profile={"profile": HOSTILE, "providers": [PROVIDER | {"remark": HOSTILE}]},
        file=report.file | {"operations": {HOSTILE: 1}, "inputs": [HOSTILE]},
    )
    page = Page(to_html(report))
    assert not page.attributes("script") and not page.attributes("img")
    assert not [name for _, attributes in page.tags for name in attributes if name[:2] == "on"]
    assert page.text.count(HOSTILE) >= 17 and "FAILED: <script>" in page.text


def test_the_page_shows_twin_and_profile_and_of_each_output_the_worst_first(report):
    worse = report.comparisons[2] | {"max_abs": 1.2e-6, "scale": 1.0, "passed": True}
    failed = report.comparisons[0] | {"passed": False}
    report.comparisons = [failed, *report.comparisons[1:2], worse, *report.comparisons[3:]]
    report.ort = {"bytes": 4321, "sha256": "abc", "min_onnxruntime": "1.16", "identical_on": ["x"]}
    report.profile = {"profile": "web", "providers": [PROVIDER]}
    page = Page(to_html(report))
    for text in ("4,321", "abc", "1.16 and later", "64 of 65 nodes", "mask/and", "WebGPU"):
        assert text in page.text
    foremost, every = page.text.split("Show all")
    assert foremost.count(report.comparisons[1]["suite"]) == 0
    assert failed["suite"] in foremost and every.count(failed["suite"]) >= 1
    page = Page(to_html(dataclasses.replace(report, comparisons=report.comparisons[1:])))
    foremost = page.text.split("Show all")[0]
    assert worse["suite"] in foremost and "1.2e-06" in foremost


def test_layers_on_a_log_scale(report):
    report.layers = [
        {"layer": "first", "max_abs": 1e-7, "local": 1e-7},
        {"layer": "second", "max_abs": 1e-5, "local": 1e-6},
        {"layer": "third", "max_abs": 1e-3, "local": 0.0},
        {"layer": "fourth", "max_abs": math.inf, "local": None},
    ]
    report.first_divergence = "third"
    page = Page(to_html(report))
    bars = [tag for tag in page.attributes("rect", **{"class": "bar"}) if tag["height"] == "10"]
    bars = [float(bar["width"][:-1]) for bar in bars if bar.get("y")][:4]
    # Two decades are as far apart everywhere; what is not finite fills the row.
    assert bars[2] - bars[1] == pytest.approx(bars[1] - bars[0], abs=0.2) and bars[3] == 100
    dots = [float(dot["cx"][:-1]) for dot in page.attributes("circle")]
    assert dots == [bars[0], pytest.approx((bars[0] + bars[1]) / 2, abs=0.1)]
    assert len(page.attributes("svg", **{"class": "failed"})) == 1


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
            report.comparisons = [report.comparisons[0] | {"passed": False}]
            raise ParityError("", report)
        return report

    monkeypatch.setattr(to_onnx, "export_onnx", export_onnx)
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
