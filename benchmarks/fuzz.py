"""Gives damaged and hostile inputs to every parser of the export: `python -m benchmarks.fuzz`.

`python -m benchmarks.fuzz --minutes 20 --seed 0` goes on where the last call with this seed
stopped, and ends with code 1 if an input ended otherwise than documented: with another exception,
with a dead process, after too long or with too much memory. `--only 123` repeats one input.

The inputs run in another process, which is started again after it died.
"""

import argparse
import collections
import faulthandler
import itertools
import json
import os
import resource
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

SECONDS = 20
"""The longest that one input may take."""
BYTES = 1536 << 20
"""The most by which one input may let the process grow."""

_ROOT = Path(__file__).parent.parent
_STEP = 100  # Inputs between two lines of the process.


def run_input(seed: int, number: int, folder: Path) -> tuple[str, str]:
    """Makes and parses one input, and returns its target and the outcome."""
    import numpy as np

    from benchmarks.fuzz_inputs import DOCUMENTED, ORDER, TARGETS

    name = ORDER[number % len(ORDER)]
    before, start = _largest_size(), time.perf_counter()
    outcome = "accepted"
    try:
        TARGETS[name](np.random.default_rng([seed, number]), folder)
    except Exception as error:
        known = type(error) in DOCUMENTED
        outcome = type(error).__name__ if known else f"! {type(error).__name__}: {error}"[:300]
    if time.perf_counter() - start > SECONDS:
        outcome = f"! took {time.perf_counter() - start:.0f} s"
    if _largest_size() - before > BYTES:
        outcome = f"! took {(_largest_size() - before) >> 20} MiB"
    return name, outcome


def _largest_size():
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss << 10


def _work(seed: int, start: int) -> None:
    """Runs inputs without end, and prints what came of them as lines of JSON."""
    marker = os.open("number", os.O_CREAT | os.O_RDWR)
    Path("files").mkdir(exist_ok=True)
    os.chdir("files")
    printed = os.dup(1)
    os.dup2(2, 1)  # Packages print to it as well.
    counts, found = collections.Counter(), []
    for number in itertools.count(start):
        os.pwrite(marker, b"%20d" % number, 0)  # It tells what a dead process was doing.
        faulthandler.dump_traceback_later(2 * SECONDS, exit=True)
        name, outcome = run_input(seed, number, Path.cwd())
        counts[f"{name}: {'undocumented' if outcome[0] == '!' else outcome}"] += 1
        if outcome[0] == "!":
            found.append([number, name, outcome])
        if (number + 1 - start) % _STEP == 0:
            line = {"next": number + 1, "counts": counts, "found": found}
            os.write(printed, json.dumps(line).encode() + b"\n")
            counts.clear()
            found.clear()


def _run_until(end: float, state: dict[str, Any], seed: int) -> None:
    """Runs a process until the time is over or it dies, and adds what it prints to the state."""
    command = [sys.executable, "-m", "benchmarks.fuzz", "--seed", str(seed), "--work"]
    with tempfile.TemporaryDirectory() as folder, open(Path(folder) / "errors", "w+") as errors:
        process = subprocess.Popen(
            [*command, str(state["next"])],
            stdout=subprocess.PIPE,
            stderr=errors,
            cwd=folder,
            env={**os.environ, "PYTHONPATH": str(_ROOT), "TF_CPP_MIN_LOG_LEVEL": "3"},
        )
        for line in map(json.loads, process.stdout or ()):
            state["next"] = line["next"]
            state["found"] += line["found"]
            state["counts"] = collections.Counter(state["counts"]) + collections.Counter(
                line["counts"]
            )
            _save(state, seed)
            if time.monotonic() > end:
                process.kill()
                process.wait()
                return
        code, last = process.wait(), int((Path(folder) / "number").read_text())
        errors.seek(0)
        state["found"].append([last, "", f"! died with code {code}: {errors.read()[-2000:]}"])
        lost = {"not counted": last + 1 - state["next"]}
        state["counts"] = collections.Counter(state["counts"]) + collections.Counter(lost)
        state["next"] = last + 1


def _path(seed):
    return _ROOT / "build" / f"fuzz-{seed}.json"


def _save(state, seed):
    _path(seed).parent.mkdir(exist_ok=True)
    _path(seed).write_text(json.dumps(state, indent=2))


def main(arguments: list[str] | None = None) -> int:
    """Runs the command line, and returns its exit code."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.fuzz", description=__doc__)
    parser.add_argument("--minutes", type=float, default=20)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--only", type=int, metavar="N", help="run one input only")
    parser.add_argument("--work", type=int, metavar="N", help=argparse.SUPPRESS)
    given = parser.parse_args(arguments)
    if given.work is not None:
        _work(given.seed, given.work)
    if given.only is not None:
        with tempfile.TemporaryDirectory() as folder:
            print(*run_input(given.seed, given.only, Path(folder)))
        return 0
    path = _path(given.seed)
    state = {"next": 0, "counts": {}, "found": [], "minutes": 0.0}
    if path.exists():
        state = json.loads(path.read_text())
    start = time.monotonic()
    end, first = start + 60 * given.minutes, state["next"]
    while time.monotonic() < end:
        _run_until(end, state, given.seed)
    state["minutes"] += (time.monotonic() - start) / 60
    _save(state, given.seed)
    for name, count in sorted(state["counts"].items()):
        print(f"{count:8}  {name}")
    for number, name, outcome in state["found"]:
        print(f"input {number} of {name}: {outcome}")
    print(
        f"{state['next'] - first} inputs now, {state['next']} in all in {state['minutes']:.1f} "
        f"minutes, {len(state['found'])} of them undocumented"
    )
    return 1 if state["found"] else 0


if __name__ == "__main__":
    sys.exit(main())
