"""Draws what was measured of files."""

from pathlib import Path

from export.benchmark.measure import Row, threads_of
from export.errors import UsageError


def figure(rows: list[Row], path: str) -> None:
    """Draws accuracy, or difference, against `p50_ms`; the area of a point is the file's size.

    Raises:
        UsageError: If matplotlib is missing.
    """
    try:
        from matplotlib.figure import Figure
    except ModuleNotFoundError as error:
        raise UsageError("A figure needs matplotlib: pip install matplotlib.") from error
    drawn = Figure(figsize=(6, 4), layout="constrained")
    axes, largest = drawn.subplots(), max(row.size for row in rows)
    counted = all(row.accuracy is not None for row in rows)
    for row in rows:
        height = (row.accuracy if counted else row.difference) or 0.0
        axes.scatter(row.p50_ms, height, 20 + 400 * row.size / largest, alpha=0.5)
        name = f"{Path(row.file).name}, {threads_of(row)}, batch {row.batch}"
        axes.annotate(name, (row.p50_ms, height), fontsize=8)
    axes.set_xlabel("p50 ms")
    axes.set_ylabel("right %" if counted else "difference from the first file")
    drawn.savefig(path)
