"""Compiles and runs programs of C, on this machine and on an emulated chip, and measures them."""

import shutil
import subprocess
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

from export.errors import ConversionError, UsageError

HOSTS = ("cc", "gcc", "clang")
NETWORK = "network.o"

_FLAGS = ("-std=c99", "-O2")
_CHIP = Path(__file__).parent / "chip"
_CORTEX_M7 = ("-mcpu=cortex-m7", "-mthumb", "-mfloat-abi=hard", "-mfpu=fpv5-d16")
_EMULATE = (
    *("qemu-system-arm", "-M", "mps2-an500", "-display", "none", "-monitor", "none"),
    *("-serial", "none", "-semihosting-config", "enable=on,target=native", "-kernel"),
)


class Machine(NamedTuple):
    """Where programs run: a compiler with flags, and what starts a program."""

    name: str
    compiler: str
    flags: Sequence[str]
    linked: Sequence[str]
    size: str
    start: Sequence[str]

    @property
    def compiler_version(self) -> str:
        """The first line that the compiler says of itself."""
        return _run([self.compiler, "--version"], Path()).partition("\n")[0]


@dataclass(frozen=True)
class Need:
    """Bytes that a network needs, without the C library.

    Attributes:
        flash: Code and constants.
        static: Static memory.
        stack: The deepest stack.
    """

    flash: int
    static: int
    stack: int

    @property
    def ram(self) -> int:
        """All memory that changes."""
        return self.static + self.stack


def here() -> Machine:
    """Returns this machine.

    Raises:
        UsageError: If it has no C compiler.
    """
    found = next(filter(shutil.which, HOSTS), None)
    if found is None or shutil.which("size") is None:
        raise UsageError(
            "A program of C is written only if it computes what the model does, and there is no C "
            f"compiler here: none of {', '.join(HOSTS)}, with the command size. Install one, such "
            "as apt-get install gcc."
        )
    return Machine("this machine", found, _FLAGS, ("-lm",), "size", ())


def emulated_chip() -> Machine | None:
    """Returns an emulated Cortex-M7, if its compiler and the emulator are installed."""
    prefix = "arm-none-eabi-"
    if not all(map(shutil.which, (f"{prefix}gcc", f"{prefix}size", _EMULATE[0]))):
        return None
    linked = ("--specs=rdimon.specs", "-T", _CHIP / "memory.ld", _CHIP / "startup.c", "-lm")
    flags = (*_FLAGS, *_CORTEX_M7)
    name = "an emulated Cortex-M7"
    return Machine(name, f"{prefix}gcc", flags, tuple(map(str, linked)), f"{prefix}size", _EMULATE)


def compile_network(machine: Machine, folder: Path, source: str) -> Need:
    """Compiles a network to the object file `NETWORK` of the folder, and measures it.

    Raises:
        ConversionError: If the compiler does not take it.
    """
    flags = [*machine.flags, "-fstack-usage", "-c"]
    _run([machine.compiler, *flags, source, "-o", NETWORK], folder)
    text, data, bss = map(int, _run([machine.size, NETWORK], folder).split("\n")[1].split()[:3])
    stack = _deepest_stack((folder / NETWORK).with_suffix(".su").read_text().splitlines())
    return Need(flash=text + data, static=data + bss, stack=stack)


def link(machine: Machine, folder: Path, source: str, program: str) -> None:
    """Compiles a source, and links it with the network in the folder.

    Raises:
        ConversionError: If the compiler does not take them.
    """
    parts = [source, NETWORK, *machine.linked]
    _run([machine.compiler, *machine.flags, *parts, "-o", program], folder)


def start(machine: Machine, folder: Path, program: str) -> subprocess.CompletedProcess:
    """Runs a program in a folder, and returns its exit code and what it printed."""
    command = [*machine.start, str(folder / program)]
    return subprocess.run(command, cwd=folder, capture_output=True, text=True)


def _deepest_stack(lines):
    """Adds the functions of the header, the largest step, and the largest helper of a step."""
    header, step, helper = 0, 0, 0
    for line in lines:
        place, size, _ = line.split("\t")
        name = place.rpartition(":")[2]
        if name.endswith(("_run", "_predict", "_label")):
            header += int(size)
        elif name.startswith("node"):
            step = max(step, int(size))
        else:
            helper = max(helper, int(size))
    return header + step + helper


def _run(command, folder):
    done = subprocess.run(command, cwd=folder, capture_output=True, text=True)
    if done.returncode != 0:
        said = (done.stderr.strip() or done.stdout.strip()).partition("\n")[0]
        raise ConversionError(f"{command[0]} failed with {done.returncode}: {said}")
    return done.stdout
