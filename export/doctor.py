"""Tests which converters work with the installed packages.

`python -m export.doctor`

Each converter whose packages are installed converts a small capsule network, in another process.
"""

import functools
import os
import platform
import re
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import NamedTuple

from packaging.specifiers import SpecifierSet

from export import command_line
from export.options import ROUTES
from export.report import environment

# Versions from pyproject.toml. Without an entry there, any version is possible.
PACKAGES = {
    "keras": ">=3.15,<4",
    "numpy": ">=1.26",
    "tensorflow": ">=2.19",
    "tf2onnx": ">=1.17",
    "onnx": ">=1.21",
    "onnxruntime": ">=1.20.1",
    "onnxslim": ">=0.1.98",
    "torch": ">=2.6",
    "jax": ">=0.5",
    "jax2onnx": "",
    "protobuf": "",
}


# TensorFlow computes the reference outputs for every converter.
_COMMON = ("keras", "numpy", "onnx", "onnxruntime", "onnxslim", "tensorflow")
ROUTE_PACKAGES = {
    "tf2onnx": (*_COMMON, "tf2onnx"),
    "torch": (*_COMMON, "torch"),
    "jax": (*_COMMON, "jax", "jax2onnx"),
}
DEFAULT = "tf2onnx"


class Conflict(NamedTuple):
    """Versions that are incompatible."""

    versions: dict[str, str]
    reason: str
    fix: str


CONFLICTS = (
    Conflict(
        {"tf2onnx": "<1.17", "numpy": ">=2"},
        "tf2onnx before 1.17 uses names that numpy 2 has removed",
        "pip install --upgrade 'tf2onnx>=1.17'",
    ),
    Conflict(
        {"tf2onnx": "<1.17", "tensorflow": ">=2.20"},
        "tf2onnx before 1.17 needs protobuf 3.20, TensorFlow from 2.20 on needs 5.28 or later",
        "pip install --upgrade 'tf2onnx>=1.17'",
    ),
    Conflict(
        {"protobuf": "<5.28", "tensorflow": ">=2.20"},
        "TensorFlow from 2.20 on needs protobuf 5.28 or later",
        "pip install --upgrade 'protobuf>=5.28'",
    ),
)

_TRIAL = """
import sys
import keras, keras_capsules, export
model = keras.Sequential([
    keras.Input((8, 8, 1), name="image"),
    keras.layers.Conv2D(4, 3, activation="relu"),
    keras_capsules.PrimaryCapsule2D(num_capsules=2, capsule_dim=4, kernel_size=3),
    keras_capsules.CapsuleLayer(num_capsules=3, capsule_dim=4),
    keras_capsules.CapsuleLength(name="scores"),
])
report = export.export_onnx(model, sys.argv[1], via=sys.argv[2])
print(f"{report.max_abs:.1e}")
"""


def installed_versions() -> dict[str, str | None]:
    """Returns the version of each package, or `None` if it is missing."""
    return dict.fromkeys(PACKAGES) | environment.versions(PACKAGES)


def fits(version: str | None, wanted: str) -> bool:
    """Returns whether a version is installed and is one of the wanted ones."""
    return version is not None and SpecifierSet(wanted).contains(version, prereleases=True)


def conflicts(versions: dict[str, str | None]) -> list[Conflict]:
    """Returns the known conflicts between installed versions."""
    return [
        conflict
        for conflict in CONFLICTS
        if all(fits(versions[name], wanted) for name, wanted in conflict.versions.items())
    ]


def fix(names: list[str]) -> str:
    """Returns the command that installs these packages."""
    wanted = [f"'{name}{PACKAGES[name]}'" if PACKAGES[name] else name for name in names]
    return f"pip install --upgrade {' '.join(wanted)}"


class Trial:
    """Conversion by one route that has been started in another process."""

    def __init__(self, route: str):
        self.folder = tempfile.TemporaryDirectory()
        target = str(Path(self.folder.name) / "model.onnx")
        environment = {
            "KERAS_BACKEND": ROUTES[route],
            "TF_CPP_MIN_LOG_LEVEL": "3",
            "PYTHONPATH": os.pathsep.join(sys.path),
        }
        self.start = time.perf_counter()
        self.process = subprocess.Popen(
            [sys.executable, "-c", _TRIAL, target, route],
            env={**os.environ, **environment},
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )

    def result(self) -> tuple[bool, str]:
        """Waits, and returns whether the conversion worked, and a message."""
        output, errors = self.process.communicate()
        self.folder.cleanup()
        if self.process.returncode != 0:
            return False, _reason(errors) or f"code {self.process.returncode}"
        seconds = time.perf_counter() - self.start
        difference = output.strip().rpartition("\n")[2]
        return True, f"converted a capsule network, off by {difference} at most, in {seconds:.0f} s"


def _reason(errors):
    """Returns the first line of the exception that ended a process."""
    lines = [line for line in errors.splitlines() if line.strip()]
    named = [line for line in lines if re.match(r"[\w.]+(Error|Exception|Exit)\b", line)]
    return (named or lines or [""])[-1]


def main(arguments: list[str] | None = None) -> int:
    """Prints the results. Returns 0 if the default route works, and 2 otherwise."""
    return command_line.exit_code_of("doctor", functools.partial(_examine, arguments))


def _examine(arguments):
    description = "Tests which converters work with the installed packages."
    command_line.Parser("doctor", description, codes=(0, 2, 5)).parse_args(arguments)
    print(f"Python {platform.python_version()} on {platform.platform()}\n")
    versions = installed_versions()
    for name, wanted in PACKAGES.items():
        mark = "" if fits(versions[name], wanted) else f"   wanted: {wanted or 'any version'}"
        print(f"  {name:14}{versions[name] or 'missing':12}{mark}".rstrip())
    print()
    for conflict in conflicts(versions):
        print(f"  {conflict.reason}.\n    {conflict.fix}\n")
    unfit = {
        route: [name for name in packages if not fits(versions[name], PACKAGES[name])]
        for route, packages in ROUTE_PACKAGES.items()
    }
    print("Trying the converters, which takes up to some minutes:", flush=True)
    trials = {route: Trial(route) for route in ROUTES if not unfit[route]}
    works = {}
    for route in ROUTES:
        if route in trials:
            works[route], finding = trials[route].result()
        else:
            finding = f"needs {', '.join(unfit[route])}:\n    {fix(unfit[route])}"
        verdict = {True: "works", False: "FAILS", None: "not tried"}[works.get(route)]
        command_line.show(f"  {route:14}{verdict:12}{finding}")
    if works.get(DEFAULT):
        print(f"\nThe export works. It converts by {DEFAULT} and does not need the others.")
        return 0
    print(f"\nThe export does not work: it needs {DEFAULT}, see above.")
    return 2


if __name__ == "__main__":
    sys.exit(main())
