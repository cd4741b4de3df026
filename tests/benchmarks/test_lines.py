"""Runs in several processes: each finished one is kept, whatever happens to the others."""

import os
import signal

import pytest
from conftest import once

from benchmarks import lines

pytestmark = once


def halved(number):
    """Returns a half, or fails as a run does that lacks memory: by an error, or killed."""
    if number == 3:
        raise MemoryError("too large")
    if number == 5:
        os.kill(os.getpid(), signal.SIGKILL)
    return {"number": number, "half": number / 2}


def test_a_run_that_fails_does_not_stop_the_others(capsys):
    found, numbers = [], list(range(8))
    with pytest.raises(RuntimeError, match="2 of 8 runs failed:\n[35]\n[35]$"):
        for row in lines.performed(halved, numbers, jobs=2):
            found.append(row["number"])
    assert sorted(found) == [0, 1, 2, 4, 6, 7]
    told = capsys.readouterr().err
    assert "3 failed" in told and "too large" in told and "terminated abruptly" in told


def test_lines_come_back(tmp_path):
    path = tmp_path / "results" / "runs.jsonl"
    assert lines.read(path) == []
    for number in (1, 2):
        lines.append(path, {"number": number, "third": number / 3, "name": "x"})
    assert lines.read(path) == [
        {"number": 1, "third": 0.333333, "name": "x"},
        {"number": 2, "third": 0.666667, "name": "x"},
    ]
