"""Runs the network of a program of C on arrays, here and on an emulated chip."""

from collections.abc import Sequence
from pathlib import Path

import numpy as np

from export.c import build
from export.c.interface import Interface
from export.c.selftest import runner

_TYPES = {"float": "float32", "double": "float64", "bool": "bool"}


def prepare_runner(machine: build.Machine, folder: Path, interface: Interface, header: str) -> None:
    """Links the network in a folder with a program that runs it on a file of inputs."""
    (folder / "runner.c").write_text(runner(interface, header))
    build.link(machine, folder, "runner.c", "runner")


def run_network(
    machine: build.Machine, folder: Path, interface: Interface, inputs: Sequence[np.ndarray]
) -> list[np.ndarray]:
    """Returns the outputs for arrays of inputs `(samples, ...)`, after `prepare_runner`.

    Raises:
        ValueError: If the program fails.
    """
    batch, samples = interface.inputs[0].sizes[0], len(inputs[0])
    starts = range(0, samples, batch)
    calls = (array[start : start + batch].tobytes() for start in starts for array in inputs)
    (folder / "inputs").write_bytes(b"".join(calls))
    done = build.start(machine, folder, "runner")
    if done.returncode:
        raise ValueError(f"the program on {machine.name} ended with {done.returncode}")
    fields = [
        (f"{i}", _type_of(array.kind), array.sizes) for i, array in enumerate(interface.outputs)
    ]
    found = np.frombuffer((folder / "outputs").read_bytes(), np.dtype(fields))
    return [found[name].reshape(samples, *sizes[1:]) for name, _, sizes in fields]


def _type_of(kind):
    return _TYPES.get(kind, kind.removesuffix("_t"))
