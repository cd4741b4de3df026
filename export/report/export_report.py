"""Defines the report, which is the result of an export."""

import dataclasses
import importlib.util
import json
import math
import os
import shlex
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from export.errors import UsageError
from export.report.text import to_text
from export.results import (
    Check,
    Comparison,
    FileFacts,
    Judgement,
    Latency,
    LayerError,
    MixedPrecision,
    OrtFacts,
    Part,
    Profile,
    SuiteKey,
)
from export.write import check_target, write_atomically

if TYPE_CHECKING:
    from export.c.program import CProgram

SCHEMA = 1


@dataclass(frozen=True, kw_only=True)
class ExportReport:
    """Result of an export: the conversion, the comparisons and the verdict.

    Attributes:
        source: Path of the Keras model, or its name if the model was passed.
        target: Path of the ONNX file.
        parameters: Number of the model's parameters.
        backend: Backend of the model in the comparison.
        tolerance: The tolerance and its origin, in words.
        comparisons: A `Comparison` for each output and suite.
        warnings: What is suspicious about the model's outputs, or not shown, in sentences.
        task: What the scores mean, one of `export.options.TASKS`.
        input_range: Inputs for a black and a white pixel, before the preprocessing in the file.
        mixed: Distance of a model in another precision from float32, or `None`.
        file: Facts of the ONNX file.
        versions: Versions of the packages that were used.
        environment: The machine: `python`, `os`, `cpu` and `cores`.
        layers: A `LayerError` for each Keras layer, on random inputs, or on the inputs of the worst
            comparison if one failed.
        parts: A `Part` for each Keras layer, compared on its own inputs if the outputs passed.
        first_divergence: First Keras layer whose output differs, if a comparison failed.
        worst_inputs: Path of the inputs of the worst comparison, if one failed.
        edge: Checklist of points that may cause problems on devices.
        profile: Nodes that the target's execution providers cannot run, or `None`.
        ort: Facts of the `.ort` copy, or `None`.
        program: Facts of the program of C, or `None`.
        latency_ms: Milliseconds by number of threads.
        precision: The cost and the gain of float16 or int8, or `None`.
        seal_holds: Whether the finished file computes the outputs of its seal.
        foreign: Whether the file was there before, and was only compared.
        command: Command line that made this report, or empty.
    """

    source: str
    target: str
    parameters: int
    backend: str
    tolerance: str
    comparisons: list[Comparison]
    file: FileFacts
    versions: dict[str, str]
    environment: dict[str, str] = field(default_factory=dict)
    warnings: list[str] = field(default_factory=list)
    task: str = ""
    input_range: tuple[float, float] = (0.0, 1.0)
    mixed: MixedPrecision | None = None
    layers: list[LayerError] = field(default_factory=list)
    parts: list[Part] = field(default_factory=list)
    first_divergence: str | None = None
    worst_inputs: str | None = None
    edge: list[Check] = field(default_factory=list)
    profile: Profile | None = None
    ort: OrtFacts | None = None
    program: "CProgram | None" = None
    latency_ms: dict[str, Latency] = field(default_factory=dict)
    precision: Judgement | None = None
    seal_holds: bool = True
    foreign: bool = False
    command: str = ""

    @property
    def passed(self) -> bool:
        """Whether every comparison passed, and the file was written."""
        reduced = self.precision is None or self.precision.passed
        compared = [*self.comparisons, *self.parts]
        right = self.seal_holds and (self.program is None or self.program.passed)
        return right and reduced and all(entry.passed for entry in compared)

    @property
    def max_abs(self) -> float:
        """The largest difference between Keras and onnxruntime, relative to the largest output."""
        return max(entry.relative for entry in self.comparisons)

    @property
    def worst(self) -> Comparison:
        """The comparison with the worst result."""
        return max(self.comparisons, key=lambda entry: (not entry.passed, entry.relative))

    @property
    def verify_command(self) -> str:
        """The command line that checks the file's seal on any machine."""
        return shlex.join(["python", "-m", "export.verify", self.target])

    def to_text(self) -> str:
        """Returns the report for a terminal."""
        return to_text(self)

    def to_json(self) -> str:
        """Returns the report as JSON, in which values that are not finite are strings."""
        verdict = {"verdict": "passed" if self.passed else "failed", "max_abs": self.max_abs}
        content = {**verdict, **_fields(self), "schema": SCHEMA}
        return json.dumps(_plain(content), indent=2) + "\n"

    def save(self, path: "str | os.PathLike", force: bool = True) -> None:
        """Writes the report to a file, as JSON or as a page that needs no other file.

        Args:
            path: Path that ends with `.json` or `.html`.
            force: Replace an existing file.

        Raises:
            UsageError: If the path has another ending or cannot, or may not, be written, or if
                jinja2 is missing.

        Example:

        >>> model = keras_capsules.create_model("cnn_baseline", size="tiny")
        >>> export.export_onnx(model, "digits.onnx", force=True).save("report.html")
        """
        path = Path(path)
        self.check_path(path, force)
        content = self.to_json()
        if path.suffix == ".html":
            from export.report.html import to_html  # Imports jinja2, which may be missing.

            content = to_html(self)
        write_atomically(path, content.encode())

    @staticmethod
    def check_path(path: Path, force: bool = True) -> None:
        """Raises a `UsageError` if a report cannot, or may not, be saved there."""
        if path.suffix not in (".json", ".html"):
            raise UsageError(
                "A report is saved as JSON or HTML. Pass a path that ends with .json or .html. "
                f"Received: {path}"
            )
        if path.suffix == ".html" and importlib.util.find_spec("jinja2") is None:
            raise UsageError(
                "A report as HTML needs the package jinja2. Install it with "
                "`pip install 'keras-capsules[export]'`, or save the report as .json."
            )
        check_target(path, force)


def _fields(result):
    return {entry.name: getattr(result, entry.name) for entry in dataclasses.fields(result)}


def _plain(value: Any) -> Any:
    """Returns results as types that JSON has."""
    if isinstance(value, Comparison):
        entry = {"output": value.output, "suite": value.suite, "samples": value.suite.samples}
        return _plain({**entry, **_fields(value)})
    if isinstance(value, SuiteKey):
        return value.label
    if dataclasses.is_dataclass(value):
        return _plain(_fields(value))
    if isinstance(value, dict):
        return {key: _plain(entry) for key, entry in value.items()}
    if isinstance(value, list | tuple):
        return [_plain(entry) for entry in value]
    if isinstance(value, float) and not math.isfinite(value):
        return str(value)
    return value
