"""Draws the results: small multiples with direct labels and 95 % intervals."""

import matplotlib.pyplot as plt
import numpy as np
from matplotlib import ticker

from benchmarks.settle import statistics
from benchmarks.settle.claims import AGREEMENT, by_seed
from benchmarks.settle.heads import HEADS, LOSSES, PLAIN
from benchmarks.settle.measures import ANGLES
from benchmarks.settle.tasks import TASKS

COLORS = {"margin": "#1f4e8c", "cross_entropy": "#d1762a"}
QUIET = "#c4c4c4"
# Routings that iterate until votes agree, then the others, then heads without routing.
ORDER = sorted(HEADS, key=lambda head: head not in AGREEMENT)
# Titles of the small multiples, each with a task and a measure.
PANELS = {
    "errors": {task: (task, "accuracy") for task in TASKS},
    "robustness": {name: ("mnist", name) for name in ("noise", "blur", "contrast", "occlusion")},
    "doubt": {
        "AUROC, parts in wrong places": ("mnist", "relations"),
        "AUROC, other glyphs": ("mnist", "ood_glyphs"),
        "calibration error": ("mnist", "ece"),
        "after one temperature": ("mnist", "ece_scaled"),
    },
    "coupling": {
        "entropy": ("mnist", "coupling_entropy"),
        "variance": ("mnist", "coupling_variance"),
        "dead children": ("mnist", "dead_children"),
    },
}


def drawn(rows: list[dict]) -> dict:
    """Returns the figures by name, of what has been run."""
    found = {
        name: dots(panels, rows, errors=name == "errors")
        for name, panels in PANELS.items()
        if _known(panels, rows)
    }
    curves = {task: angles(task, rows) for task in ("mnist", "turned") if _angles(task, rows)}
    return found | {f"angles_{task}": figure for task, figure in curves.items()}


def dots(panels: dict, rows: list[dict], errors: bool = False):
    """Draws a dot with its interval for each head and loss, one axes for each measure.

    Args:
        panels: Dictionary from the title of an axes to its task and measure.
        rows: The lines of all runs.
        errors: Whether to draw what is missing to one, in per cent, on a logarithmic scale.
    """
    panels = _known(panels, rows)
    figure, axes = _axes(len(panels), 4, (2.6, 4), sharey=True)
    places = dict(zip(ORDER, np.arange(len(ORDER))[::-1], strict=True))
    for axis, (title, (task, measure)) in zip(axes.flat, panels.items(), strict=False):
        for shift, loss in zip((0.15, -0.15), LOSSES, strict=True):
            for head, place in places.items():
                values = list(by_seed(rows, task, head, loss, measure).values())
                if errors:
                    values = [100 * (1 - value) for value in values]
                if values:
                    _dot(axis, statistics.interval(values), place + shift, COLORS[loss])
        if errors:
            _logarithmic(axis)
        axis.set_title(title, fontsize=9)
        axis.spines[["top", "right"]].set_visible(False)
        axis.tick_params(labelsize=8)
        axis.grid(axis="y", color="#eeeeee")
    axes[0, 0].set_yticks(list(places.values()), [head.replace("_", " ") for head in places])
    for number, (loss, color) in enumerate(COLORS.items()):
        height = 0.01 + 0.04 * number / len(axes)
        figure.text(0.01, height, loss.replace("_", "-"), color=color, fontsize=8)
    figure.tight_layout()
    plt.close(figure)
    return figure


def _axes(number: int, columns: int, size: tuple[float, float], **shared):
    """Returns a figure with so many axes, each of this width and height in inches."""
    columns = min(columns, number)
    lines = -(-number // columns)
    width, height = size
    figure, axes = plt.subplots(
        lines, columns, figsize=(columns * width, lines * height), squeeze=False, **shared
    )
    for axis in axes.flat[number:]:
        axis.set_visible(False)
    return figure, axes


def _logarithmic(axis):
    axis.set_xscale("log")
    low, high = axis.get_xlim()
    axis.set_xlim(max(low, 0.3), min(high, 100))
    axis.xaxis.set_major_locator(ticker.LogLocator(subs=(1, 2, 5)))
    axis.xaxis.set_major_formatter(ticker.FormatStrFormatter("%g"))
    axis.xaxis.set_minor_locator(ticker.NullLocator())
    axis.set_xlabel("read wrong, %", fontsize=8)


def _dot(axis, found, place, color):
    if found.number > 1:
        axis.plot([found.low, found.high], [place, place], color=color, linewidth=1)
    axis.plot(found.mean, place, "o", color=color, markersize=4)


def angles(task: str, rows: list[dict]):
    """Draws the accuracy by angle, one axes for each head, the others in gray behind it."""
    curves = _angles(task, rows)
    figure, axes = _axes(len(curves), 5, (2.2, 2), sharex=True, sharey=True)
    for axis, (head, intervals) in zip(axes.flat, curves.items(), strict=False):
        for other in curves.values():
            axis.plot(ANGLES, [found.mean for found in other], color=QUIET, linewidth=0.6)
        color = COLORS["cross_entropy" if head in PLAIN else "margin"]
        means = [found.mean for found in intervals]
        axis.plot(ANGLES, means, color=color)
        if intervals[0].number > 1:
            low, high = ([found[place] for found in intervals] for place in (1, 2))
            axis.fill_between(ANGLES, low, high, color=color, alpha=0.2, linewidth=0)
        axis.set_title(head.replace("_", " "), fontsize=9)
        axis.set(ylim=(0, 1.02), xticks=ANGLES[::2])
        axis.spines[["top", "right"]].set_visible(False)
        axis.tick_params(labelsize=8)
    figure.supxlabel("turned by so many degrees", fontsize=9)
    figure.supylabel("share read right", fontsize=9)
    figure.tight_layout()
    plt.close(figure)
    return figure


def _known(panels, rows):
    """Returns the panels of which something has been run."""
    return {
        title: (task, measure)
        for title, (task, measure) in panels.items()
        if any(row["task"] == task and measure in row for row in rows)
    }


def _angles(task, rows):
    """Returns the interval at each angle, by the head, under the margin loss."""
    values = {
        head: [by_seed(rows, task, head, "margin", f"turned_{angle}") for angle in ANGLES]
        for head in HEADS
    }
    return {
        head: [statistics.interval(list(seeds.values())) for seeds in curve]
        for head, curve in values.items()
        if all(curve)
    }
