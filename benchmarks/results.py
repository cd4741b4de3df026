"""Measures figures in turn, and makes the tables that benchmarks store and compare."""

import argparse
import json
import os
import shlex
import statistics
import subprocess
import sys
import time
from pathlib import Path

from export.report import environment

PACKAGES = ("keras", "tensorflow", "jax", "torch", "onnxruntime", "tf2onnx")


def medians(calls: dict, runs: int, twice: bool = False) -> dict[str, float]:
    """Returns the median milliseconds of each call.

    The calls take turns, so a disturbance of the machine affects all of them. A tenth as many runs
    come first and do not count.

    Args:
        calls: Functions without arguments, by name.
        runs: Integer. Number of timed runs of each call.
        twice: Boolean. Whether each timed call comes after one that is not timed. What another call
            did to the memory and the caches then does not count.
    """
    times = {name: [] for name in calls}
    for run in range(-(runs // 10) - 1, runs):
        for name, call in calls.items():
            if twice:
                call()
            start = time.perf_counter()
            call()
            if run >= 0:
                times[name].append(1e3 * (time.perf_counter() - start))
    return {name: statistics.median(values) for name, values in times.items()}


def add_options(parser: argparse.ArgumentParser, name: str) -> None:
    """Adds `--json` and `--compare`."""
    path = Path("build") / f"benchmark_{name}.json"
    parser.add_argument("--json", type=Path, default=path, help="file for the figures")
    parser.add_argument("--compare", type=Path, help="file of earlier figures, for ratios")


def in_process(module: str, arguments: list[str], backend: str, **environment: str):
    """Runs a benchmark's module under a backend, and returns the JSON value of its last line."""
    process = subprocess.run(
        [sys.executable, "-m", module, *arguments],
        env={**os.environ, "KERAS_BACKEND": backend, "TF_CPP_MIN_LOG_LEVEL": "3", **environment},
        stdout=subprocess.PIPE,
        text=True,
        check=True,
    )
    return json.loads(process.stdout.splitlines()[-1])


def publish(rows: list[dict], keys: list[str], options) -> None:
    """Prints rows as a table, stores them in a file, and compares them with another file.

    Args:
        rows: Figures by column, all rows with the same columns.
        keys: Columns that identify a row.
        options: The parsed options of `add_options`.
    """
    print("\n".join(table(rows)))
    options.json.parent.mkdir(parents=True, exist_ok=True)
    command = shlex.join(["python", "-m", sys.modules["__main__"].__spec__.name, *sys.argv[1:]])
    facts = {"command": command, "machine": machine(), "rows": rows}
    options.json.write_text(json.dumps(facts, indent=1) + "\n")
    if options.compare:
        print(f"\nOf {options.compare}:\n")
        print("\n".join(table(compared(rows, json.loads(options.compare.read_text()), keys))))


def table(rows: list[dict]) -> list[str]:
    """Returns the lines of a Markdown table of figures by column."""
    return markdown_table(list(rows[0]), [[_cell(value) for value in row.values()] for row in rows])


def markdown_table(header: list[str], rows: list[list[str]]) -> list[str]:
    """Returns the lines of a Markdown table whose cells are strings."""
    lines = (" | ".join(cells) for cells in (header, *rows))
    first, *others = (f"| {line} |" for line in lines)
    return [first, "|" + "---|" * len(header), *others]


def compared(rows: list[dict], earlier: dict, keys: list[str]) -> list[dict]:
    """Returns the rows that both have, with the ratio of each figure to the earlier one."""
    before = {tuple(row[key] for key in keys): row for row in earlier["rows"]}
    pairs = [(row, before.get(tuple(row[key] for key in keys), {})) for row in rows]
    return [
        {name: value if name in keys else value / old[name] for name, value in row.items()}
        for row, old in pairs
        if old
    ]


def machine() -> dict:
    """Returns the facts besides the code on which the figures depend."""
    return environment.machine() | environment.versions(PACKAGES)


def _cell(value):
    if isinstance(value, str):
        return value
    return f"{value:.3g}" if isinstance(value, float) else f"{value:,}"
