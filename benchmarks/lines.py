"""Performs runs in several processes, and keeps a line of JSON for each finished run."""

import argparse
import functools
import json
import multiprocessing
import os
import sys
import threading
import traceback
from collections.abc import Callable, Iterator
from concurrent.futures import ProcessPoolExecutor
from multiprocessing.pool import ThreadPool
from pathlib import Path

FOLDER = Path(__file__).parent / "results"
# Several jobs share the processor, and under JAX the memory of an accelerator.
SHARING = {
    "OMP_NUM_THREADS": "1",
    "TF_NUM_INTRAOP_THREADS": "1",
    "XLA_PYTHON_CLIENT_PREALLOCATE": "false",
}
RUNS_OF_A_PROCESS = 8  # What a backend keeps in memory goes with its process.


def add_options(parser: argparse.ArgumentParser, file: str | None = None) -> None:
    """Adds `--jobs` and `--report`, and `--results` for a benchmark with one file of lines."""
    if file:
        path = FOLDER / file
        parser.add_argument("--results", type=Path, default=path, help="file of the lines")
    parser.add_argument("--jobs", type=int, default=1, help="runs at once (default: 1)")
    parser.add_argument("--report", action="store_true", help="write the report, and run nothing")


def read(path: Path) -> list[dict]:
    """Returns the lines of a file, none if it does not exist."""
    return [json.loads(line) for line in path.read_text().splitlines()] if path.is_file() else []


def append(path: Path, row: dict) -> None:
    """Adds a line to a file, with six digits of each number."""
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.open("a") as file:
        file.write(json.dumps({name: _short(value) for name, value in row.items()}) + "\n")


def performed(perform: Callable, todo: list, jobs: int) -> Iterator:
    """Yields what runs return, as soon as each is finished.

    A run that fails does not stop the others, nor does one whose process is killed.

    Args:
        perform: Function of one run. Other processes call it, so that it belongs to a module.
        todo: The runs.
        jobs: Integer. Number of processes.

    Raises:
        RuntimeError: After the last run, if some failed. Their tracebacks have been printed.
    """
    if jobs > 1:
        os.environ |= SHARING
    failed = []
    with ThreadPool(max(1, min(jobs, len(todo)))) as threads:
        attempt = functools.partial(_attempt, perform, threading.local())
        for run, returned, error in threads.imap_unordered(attempt, todo):
            if error is None:
                yield returned
            else:
                print(f"{run} failed:\n{error}", file=sys.stderr, flush=True)
                failed.append(run)
    if failed:
        names = "\n".join(map(str, failed))
        raise RuntimeError(f"{len(failed)} of {len(todo)} runs failed:\n{names}")


def _attempt(perform, thread, run):
    """Performs a run in the process of this thread, and returns what it returned, or its error."""
    if not getattr(thread, "left", 0):
        thread.process = ProcessPoolExecutor(1, multiprocessing.get_context("spawn"))
        thread.left = RUNS_OF_A_PROCESS
    try:
        returned, error = thread.process.submit(perform, run).result(), None
        thread.left -= 1
    except Exception:
        returned, error = None, traceback.format_exc()
        thread.left = 0  # The process may be dead, or out of memory.
    if not thread.left:
        thread.process.shutdown()
    return run, returned, error


def _short(value):
    return float(f"{value:.6g}") if isinstance(value, float) else value
