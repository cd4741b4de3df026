"""Writes the report as one HTML page, without scripts, network access or other files."""

import dataclasses
import math
from pathlib import Path
from typing import TYPE_CHECKING

import jinja2

from export.report.text import parts_in_words, precision_in_words, program_in_words, verdict_of
from export.results import Comparison, LayerError

if TYPE_CHECKING:
    from export.report.export_report import ExportReport

_BARS = ("max_abs", "local")
_DECADES = 6  # Decades below the tolerance that a bar shows.


def to_html(report: "ExportReport") -> str:
    """Returns the page, in which all texts of the report are escaped."""
    environment = jinja2.Environment(
        loader=jinja2.FileSystemLoader(Path(__file__).parent),
        autoescape=True,
        undefined=jinja2.StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.filters |= {"number": _number, "words": verdict_of, "used": _used}
    environment.filters |= {
        "foremost": _foremost,
        "parts": parts_in_words,
        "in_words": precision_in_words,
        "program": program_in_words,
    }
    page = environment.get_template("report.html")
    return page.render(report=report, layers=_layer_chart(report.layers))


def _number(value: float | None) -> str:
    if value is None:
        return "not in the file"
    if isinstance(value, float):
        return f"{value:.1e}" if math.isfinite(value) else str(value)
    return f"{value:,}"


def _used(entry: Comparison) -> float:
    """Returns a difference relative to the allowed one, in percent of a log scale."""
    ratio = entry.max_abs / (entry.allowed or 1.0)
    return _percent(ratio, 10.0**-_DECADES, 1.0)


def _foremost(comparisons: list[Comparison]) -> list[Comparison]:
    """Returns the failed comparisons, and for each output the one closest to failing."""
    worst = {}
    for entry in sorted(comparisons, key=lambda entry: (not entry.passed, entry.relative)):
        worst[entry.output] = entry
    return [entry for entry in comparisons if not entry.passed or entry is worst[entry.output]]


def _percent(value, low, high):
    """Returns the position of a value on a log scale from `low`, 0, to `high`, 100."""
    if not value > low:  # NaN too.
        return 0.0
    return round(100 * math.log(min(value, high) / low) / math.log(high / low), 1)


def _layer_chart(layers: list[LayerError]) -> dict:
    """Returns the ticks of a log axis, and for each layer the ends of its bar and its dot."""
    values = [getattr(entry, bar) for entry in layers for bar in _BARS]
    values = [value for value in values if value and math.isfinite(value)] or [1.0]
    first = math.floor(math.log10(min(values)))
    last = max(first + 1, math.ceil(math.log10(max(values))))
    low, high = 10.0**first / 2, 10.0**last  # Half a decade more, for the smallest value.
    ticks = range(first, last + 1, 1 + (last - first) // 6)
    return {
        "ticks": [(f"1e{power}", _percent(10.0**power, low, high)) for power in ticks],
        "rows": [
            dataclasses.asdict(entry)
            | {f"{bar}_end": _percent(getattr(entry, bar) or 0.0, low, high) for bar in _BARS}
            for entry in layers
        ],
    }
