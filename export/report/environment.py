"""Identifies the machine of an export and the versions of installed packages."""

import contextlib
import os
import platform
from collections.abc import Iterable
from importlib.metadata import PackageNotFoundError, packages_distributions, version
from pathlib import Path

_EXPORT_PACKAGES = ("keras", "numpy", "onnx", "onnxslim", "tensorflow", "tf2onnx")


def machine() -> dict[str, str]:
    """Returns the properties that identify the machine."""
    return {
        "python": platform.python_version(),
        "os": platform.platform(),
        "cpu": _processor(),
        "cores": str(os.cpu_count()),
    }


def _processor():
    try:
        lines = Path("/proc/cpuinfo").read_text().splitlines()
    except OSError:  # Only Linux has this file.
        lines = []
    names = [line.partition(":")[2].strip() for line in lines if line.startswith("model name")]
    return names[0] if names else platform.processor() or platform.machine()


def versions(names: Iterable[str]) -> dict[str, str]:
    """Returns the version of each installed package, whatever the name of its distribution.

    `tensorflow` also comes as tensorflow-cpu, and `onnxruntime` as onnxruntime-gpu.
    """
    found = {name: _version(name) for name in names}
    return {name: number for name, number in found.items() if number is not None}


def _version(name):
    with contextlib.suppress(PackageNotFoundError):
        return version(name)
    # To look through the files of all packages takes half a second.
    for distribution in packages_distributions().get(name, ()):
        with contextlib.suppress(PackageNotFoundError):
            return version(distribution)
    return None


def export_versions() -> dict[str, str]:
    """Returns the versions that determine the bytes of a file."""
    import keras_capsules

    return {"keras-capsules": keras_capsules.__version__} | versions(_EXPORT_PACKAGES)
