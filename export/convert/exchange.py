"""Stores suites and outputs in files, for another process."""

import json
from dataclasses import asdict
from pathlib import Path

import numpy as np

from export.compare.suites import Suite
from export.results import Kind, SuiteKey


def save_suites(path: Path, suites: list[Suite]) -> None:
    """Stores suites."""
    keys = json.dumps([asdict(suite.key) for suite in suites])
    save_arrays(path, {"keys": keys} | _numbered([suite.inputs for suite in suites]))


def load_suites(path: Path) -> list[Suite]:
    """Returns the suites that `save_suites` stored."""
    with np.load(path) as arrays:
        keys = [SuiteKey(**key) for key in json.loads(str(arrays["keys"]))]
        return [
            Suite(Kind(key.kind), inputs, key.batch, key.scale, key.sealed)
            for key, inputs in zip(keys, _grouped(arrays), strict=True)
        ]


def save_outputs(path: Path, outputs: list[list[np.ndarray]] | str) -> None:
    """Stores the outputs for each suite, or the reason why there are none."""
    save_arrays(path, {"error": outputs} if isinstance(outputs, str) else _numbered(outputs))


def load_outputs(path: Path) -> list[list[np.ndarray]] | str:
    """Returns the outputs, or the reason, that `save_outputs` stored."""
    with np.load(path) as arrays:
        return str(arrays["error"]) if "error" in arrays else _grouped(arrays)


def save_arrays(path: Path, arrays: dict) -> None:
    """Stores arrays under a path that need not end in `.npz`."""
    with open(path, "wb") as file:
        np.savez(file, **arrays)


def _numbered(groups):
    return {f"{i}/{j}": array for i, group in enumerate(groups) for j, array in enumerate(group)}


def _grouped(arrays):
    groups = {}
    for key in arrays:
        if "/" in key:
            groups.setdefault(int(key.partition("/")[0]), []).append(arrays[key])
    return [groups[index] for index in sorted(groups)]
