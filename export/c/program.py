"""Makes a program of C of a file, and verifies it where it runs."""

import itertools
import re
import tempfile
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path

import onnx

from export.c import build
from export.c.generate import generator_version, to_source
from export.c.graph import fixed, multiply_adds
from export.c.interface import Interface, arrays_of, definitions, header, properties_of
from export.c.run import prepare_runner, run_network
from export.c.selftest import selftest
from export.compare.outputs import Candidate, Case, compare_case
from export.errors import UnsupportedOperationError, UsageError
from export.results import Comparison
from export.verify import read_seal
from export.write import C_BEGINNING

_ON_THE_CHIP = 2
"""Samples of each suite that the emulated chip computes, which takes a while."""
_CHIP_MEMORY = {"flash": 16 * 2**20, "ram": 4 * 2**20}

_NO_CHIP = (
    "no chip was emulated: arm-none-eabi-gcc or qemu-system-arm is missing (apt-get install "
    "gcc-arm-none-eabi libnewlib-arm-none-eabi qemu-system-arm)"
)


@dataclass(frozen=True)
class Run:
    """What a machine made of the program.

    Attributes:
        machine: Name of the machine.
        compiler: Name and version of the compiler.
        comparisons: A `Comparison` for each output and suite.
        selftest: Whether the self-test exited with 0.
    """

    machine: str
    compiler: str
    comparisons: list[Comparison]
    selftest: bool

    @property
    def passed(self) -> bool:
        """Whether the machine computes what the model does."""
        return self.selftest and all(entry.passed for entry in self.comparisons)


@dataclass(frozen=True)
class CProgram:
    """Facts of a program of C.

    Attributes:
        files: Names of the files.
        generator: Name and version of the generator.
        fixed: Sizes of axes that are open in the ONNX file, by name.
        multiply_adds: Multiplications with addition of one call, in convolutions and products.
        need: Bytes that the network needs, by kind: flash, static and stack.
        measured: The compiler by which they were measured.
        runs: What each machine made of it.
        remark: Why no chip was emulated, or empty.
    """

    files: list[str]
    generator: str
    fixed: dict[str, int]
    multiply_adds: int
    need: build.Need
    measured: str
    runs: list[Run] = field(default_factory=list)
    remark: str = ""

    @property
    def passed(self) -> bool:
        """Whether every machine computes what the model does."""
        return all(run.passed for run in self.runs)


def check_request(stem: str) -> None:
    """Raises a `UsageError` if files of this name cannot be in C, or if a tool is missing."""
    if not re.fullmatch(r"[\w.+ -]+", stem, re.ASCII):
        raise UsageError(
            "The files of C are named after the ONNX file: take a name of letters without accents, "
            f"digits, '_', '.', '+', '-' and spaces. Received: {stem!r}"
        )
    generator_version()
    build.here()


def check_sizes(names: Sequence[str]) -> None:
    """Raises a `UsageError` if axes besides that of the batch are open."""
    if names:
        raise UsageError(
            f"A program of C has fixed sizes, and the model leaves open {', '.join(names)}. Give "
            "keras.Input the sizes, such as keras.Input((100, 6)), or export without --c."
        )


def to_program(
    paths: Sequence[Path],
    candidate: Candidate,
    sealed: bytes,
    cases: Sequence[Case],
    batch: int,
    scored: int,
    ram: int | None,
) -> tuple[dict[Path, bytes], CProgram]:
    """Makes and verifies a program of C.

    Args:
        paths: Paths of the source, the header and the self-test.
        candidate: The file.
        sealed: The seal of the file, whose inputs the self-test replays.
        cases: The suites, with the model's outputs and tolerances.
        batch: Samples of one call.
        scored: Index of the output of scores.
        ram: Largest number of bytes that may change, or `None`.

    Returns:
        The contents of the files, and the facts, which say whether the program passed.

    Raises:
        UsageError: If the program needs more than `ram`.
        UnsupportedOperationError: If the generator cannot take the model.
    """
    graph = fixed(candidate.file, {"batch": batch})
    interface, texts = _texts(paths, graph, candidate, sealed, scored)
    chip = build.emulated_chip()
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        for path, text in zip(paths, texts, strict=True):
            (folder / path.name).write_text(text)
        measured, runs, remark = chip or build.here(), [], ""
        need = build.compile_network(measured, folder, paths[0].name)
        _check_ram(need, ram)
        if chip is None:
            remark = _NO_CHIP
        elif need.flash > _CHIP_MEMORY["flash"] or need.ram > _CHIP_MEMORY["ram"]:
            remark = "no chip was emulated: the program needs more memory than it has"
        else:
            few = [_first(case, interface) for case in cases]
            runs.append(_run(chip, folder, paths, interface, few))
        build.compile_network(build.here(), folder, paths[0].name)
        runs.insert(0, _run(build.here(), folder, paths, interface, cases))
    return dict(zip(paths, (text.encode() for text in texts), strict=True)), CProgram(
        files=[path.name for path in paths],
        generator=generator_version(),
        fixed={"batch": batch} if _is_open(candidate.file, "batch") else {},
        multiply_adds=multiply_adds(graph),
        need=need,
        measured=measured.compiler_version,
        runs=runs,
        remark=remark,
    )


def identifier_of(stem: str) -> str:
    """Returns the first word of the names of functions, for a file of this name."""
    word = re.sub(r"\W", "_", stem, flags=re.ASCII)
    return word if re.match(r"[a-zA-Z]", word) else f"model_{word}"


def _texts(paths, graph, candidate, sealed, scored):
    """Returns the interface, and the texts of the source, the header and the self-test."""
    seal, arrays = read_seal(sealed)
    if any(value.get("whole") for value in (*seal["inputs"], *seal["outputs"])):
        raise UnsupportedOperationError(
            "An input or an output has no batch axis, so that one call cannot be one sample. "
            "Give it one, or export without --c."
        )
    name = identifier_of(paths[0].stem)
    generated = to_source(graph, f"{name}_run")
    stored = {entry.key: entry.value for entry in candidate.file.metadata_props}
    interface = Interface(
        name,
        *arrays_of(generated, f"{name}_run"),
        scored=scored,
        facts=properties_of(stored),
        sha256=seal["sha256"],
    )
    begin = f'{C_BEGINNING}the network of {paths[1].name} */\n#include "{paths[1].name}"\n\n'
    source = f"{begin}{generated}{definitions(interface)}"
    return interface, (source, header(interface), selftest(interface, paths[1].name, seal, arrays))


def _check_ram(need, ram):
    if ram is not None and need.ram > ram:
        raise UsageError(
            f"The program needs {need.ram:,} bytes of RAM, {need.static:,} of static memory and "
            f"{need.stack:,} of stack, and --ram allows {ram:,}. Take a model with smaller layers: "
            "the need is that of the layers with the largest inputs and outputs."
        )


def _run(machine, folder, paths, interface, cases):
    """Runs suites and the self-test on a machine."""
    _, header, test = (path.name for path in paths)
    prepare_runner(machine, folder, interface, header)
    build.link(machine, folder, test, "selftest")
    names = [output.name for output in interface.outputs]

    def outputs_of(suite):
        return run_network(machine, folder, interface, suite.inputs)

    comparisons = []
    for case in cases:
        comparisons += compare_case(outputs_of, names, case)
    passed = build.start(machine, folder, "selftest").returncode == 0
    return Run(machine.name, machine.compiler_version, comparisons, passed)


def _first(case: Case, interface: Interface) -> Case:
    """Returns the case with its first samples, at least one call."""
    count = max(interface.inputs[0].sizes[0], _ON_THE_CHIP)
    inputs = [array[:count] for array in case.suite.inputs]
    suite = replace(case.suite, inputs=inputs, batch=min(case.suite.batch, count))
    return replace(case, suite=suite, expected=[array[:count] for array in case.expected])


def _is_open(file: onnx.ModelProto, name: str) -> bool:
    values = (*file.graph.input, *file.graph.output)
    axes = itertools.chain.from_iterable(v.type.tensor_type.shape.dim for v in values)
    return any(axis.dim_param == name for axis in axes)
