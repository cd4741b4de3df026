"""Compares files on this machine: `python -m export.benchmark FILE...`.

It needs onnxruntime and numpy; to count right answers also Keras, and for a figure matplotlib.
"""

import argparse
import functools
import json
import sys
from dataclasses import asdict
from typing import Any

from export import command_line
from export.benchmark.figure import figure
from export.benchmark.measure import benchmark, threads_of


def main(arguments: list[str] | None = None) -> int:
    """Runs the command line, and returns its exit code."""
    return command_line.exit_code_of("benchmark", functools.partial(_benchmark, arguments))


def _benchmark(arguments):
    given = _parser().parse_args(arguments)
    data = None if given.data is None else command_line.read_data(given.data)
    rows = benchmark(given.files, data, given.threads, given.batch, given.providers)
    if given.figure is not None:
        figure(rows, given.figure)
    found = json.dumps([asdict(row) for row in rows]) if given.json else "\n".join(_lines(rows))
    command_line.show(found)
    return 0


def _lines(rows):
    yield (
        f"{'threads':>11} {'batch':>5} {'bytes':>12} {'load ms':>8} {'first':>8} {'p50 ms':>8} "
        + (f"{'p99':>8} {'ratio':>6} {'MiB':>7} {'apart':>8} {'right %':>7}  file")
    )
    for row in rows:
        accuracy = "" if row.accuracy is None else f"{row.accuracy:.2f}"
        apart = "shapes" if row.difference is None else f"{row.difference:.1e}"
        yield (
            f"{threads_of(row):>11} {row.batch:5} {row.size:12,} {row.load_ms:8.1f} "
            f"{row.first_ms:8.2f} {row.p50_ms:8.3f} {row.p99_ms:8.3f} {row.ratio:6.2f} "
            f"{row.memory / 2**20:7.1f} {apart:>8} {accuracy:>7}  {row.file}"
        )


def _numbers(low: int, text: str) -> tuple[int, ...]:
    numbers = tuple(int(part) for part in text.split(","))
    if not all(low <= number <= 1024 for number in numbers):
        raise argparse.ArgumentTypeError(f"pass numbers from {low} to 1024, such as 1,2")
    return numbers


def _parser():
    description = "Compares ONNX or .ort files on this machine: size, start, time, memory, answers."
    parser = command_line.Parser("benchmark", description, codes=(0, 2, 4, 5))
    add: Any = parser.add_argument
    add("files", metavar="FILE", nargs="+", help="the first is the one that others are compared to")
    add("--data", metavar="FILE", help="an .npz file of arrays by input name, and right `labels`")
    add("--threads", type=functools.partial(_numbers, 0), default=(1,), help="such as 1,2; 0: all")
    add("--batch", type=functools.partial(_numbers, 1), default=(1,), help="such as 1,16")
    add("--providers", nargs="+", metavar="NAME", help="of onnxruntime (default: the CPU)")
    add("--json", action="store_true", help="print a JSON list instead of a table")
    add("--figure", metavar="FILE", help="draw accuracy against time, size as area")
    return parser


if __name__ == "__main__":
    sys.exit(main())
