"""The report as JSON and as a page: complete, escaped, and sufficient unto itself."""

import math
import re
from dataclasses import replace
from html.parser import HTMLParser

import pytest

from export.report.html import to_html
from export.results import Check, LayerError, OrtFacts, Profile, ProviderProfile, UnsupportedNode

HOSTILE = "<script>alert('1')</script>\"><img src=x onerror=alert(1)>"
PROVIDER = ProviderProfile(
    provider="WebGPU",
    source=HOSTILE,
    nodes=65,
    unsupported=[UnsupportedNode("mask/and", "mask", "And", HOSTILE)],
    conditions={"Conv": HOSTILE},
    remark=None,
)
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
    return exported_capsnet[1]


def test_the_page_says_what_the_report_does(report):
    report = replace(report, command="python -m export.to_onnx model.keras -o model.onnx")
    page = Page(to_html(report))
    assert "Passed" in page.text and report.command in page.text
    for entry in report.comparisons:
        assert entry.suite.label in page.text and f"{entry.max_abs:.1e}" in page.text
    for operation, count in report.file.operations.items():
        assert page.attributes("svg", **{"aria-label": f"{operation}: {count}"})
    facts = [report.file.sha256, *report.versions.values(), *report.environment.values()]
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
    worst = replace(report.comparisons[0], passed=False, error=HOSTILE, output=HOSTILE)
    report = replace(
        report,
        source=HOSTILE,
        target=HOSTILE,
        command=HOSTILE,
        first_divergence=HOSTILE,
        comparisons=[worst],
        layers=[LayerError(HOSTILE, 1e-3)],
        edge=[Check(HOSTILE, HOSTILE, passed=False)],
        ort=OrtFacts(1, HOSTILE, HOSTILE, identical_on=[]),
        profile=Profile(HOSTILE, [replace(PROVIDER, remark=HOSTILE)]),
        file=replace(report.file, operations={HOSTILE: 1}, inputs=[HOSTILE]),
    )
    page = Page(to_html(report))
    assert not page.attributes("script") and not page.attributes("img")
    assert not [name for _, attributes in page.tags for name in attributes if name[:2] == "on"]
    assert page.text.count(HOSTILE) >= 17 and "FAILED: <script>" in page.text


def test_the_page_shows_copy_and_profile_and_of_each_output_the_worst_first(report):
    worse = replace(report.comparisons[2], max_abs=1.2e-6, scale=1.0, passed=True)
    failed = replace(report.comparisons[0], passed=False)
    report = replace(
        report,
        comparisons=[failed, *report.comparisons[1:2], worse, *report.comparisons[3:]],
        ort=OrtFacts(4321, "abc", "1.16", identical_on=["x"]),
        profile=Profile("web", [PROVIDER]),
    )
    page = Page(to_html(report))
    for text in ("4,321", "abc", "1.16 and later", "64 of 65 nodes", "mask/and", "WebGPU"):
        assert text in page.text
    foremost, every = page.text.split("Show all")
    assert foremost.count(report.comparisons[1].suite.label) == 0
    assert failed.suite.label in foremost and every.count(failed.suite.label) >= 1
    page = Page(to_html(replace(report, comparisons=report.comparisons[1:])))
    foremost = page.text.split("Show all")[0]
    assert worse.suite.label in foremost and "1.2e-06" in foremost


def test_layers_on_a_log_scale(report):
    layers = [
        LayerError("first", 1e-7, local=1e-7),
        LayerError("second", 1e-5, local=1e-6),
        LayerError("third", 1e-3, local=0.0),
        LayerError("fourth", math.inf),
    ]
    page = Page(to_html(replace(report, layers=layers, first_divergence="third")))
    bars = [tag for tag in page.attributes("rect", **{"class": "bar"}) if tag["height"] == "10"]
    bars = [float(bar["width"][:-1]) for bar in bars if bar.get("y")][:4]
    # Two decades are as far apart everywhere; what is not finite fills the row.
    assert bars[2] - bars[1] == pytest.approx(bars[1] - bars[0], abs=0.2) and bars[3] == 100
    dots = [float(dot["cx"][:-1]) for dot in page.attributes("circle")]
    assert dots == [bars[0], pytest.approx((bars[0] + bars[1]) / 2, abs=0.1)]
    assert len(page.attributes("svg", **{"class": "failed"})) == 1


def test_layers_that_are_not_in_the_file(report):
    """A layer that was folded into another has no error that could be measured."""
    layers = [LayerError("folded"), LayerError("kept", 1e-7)]
    page = Page(to_html(replace(report, layers=layers)))
    assert "folded" in page.text and "not in the file" in page.text
    assert "folded" in Page(to_html(replace(report, layers=layers[:1]))).text
