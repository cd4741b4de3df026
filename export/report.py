"""What an export did, as text and as JSON; `export.html` makes a page of it."""

import json
import math
import shlex
from dataclasses import asdict, dataclass, field
from typing import Any

SCHEMA = 1
SEALED = "sealed, "
"""What the names of suites begin with whose inputs go into the seal."""


@dataclass
class ExportReport:
    """The result of an export: what was converted, what was compared and how it came out.

    Attributes:
        source: Path of the Keras model, or its name where it came from memory.
        target: Path of the ONNX file.
        parameters: Number of the model's parameters.
        backend: Backend that the model ran on for the comparison.
        tolerance: What was allowed, and where that comes from.
        comparisons: A dictionary for each output and suite, see `export.parity.Comparison`.
        file: Facts of the ONNX file: `bytes`, `sha256`, `opset`, `ir_version`, `nodes`,
            `operations`, `inputs` and `outputs`.
        versions: Versions of the packages that took part.
        layers: A dictionary for each Keras layer, see `export.locate.LayerError`, on random inputs
            or on those of the worst comparison, where one failed.
        first_divergence: First Keras layer whose output differs, where the comparison failed.
        worst_inputs: File that holds the inputs of the worst comparison, where it failed.
        edge: What a device may stumble over, a dictionary for each check.
        profile: What the target's execution providers cannot run, see `export.profiles.examine`.
        ort: Facts of the `.ort` file: `bytes`, `sha256`, the `min_onnxruntime` that reads it and
            the suites it was `identical_on`.
        latency_ms: Milliseconds for one sample, or one batch of a fixed size, `p50` and `p99`, by
            number of threads.
        environment: The machine: `python`, `os`, `cpu` and `cores`.
        precision: What float16 or int8 costs and saves, see `export.precision.judge`, or `None`.
        command: The command line that made this report, or empty.
    """

    source: str
    target: str
    parameters: int
    backend: str
    tolerance: str
    comparisons: list[dict[str, Any]]
    file: dict[str, Any]
    versions: dict[str, str]
    layers: list[dict[str, Any]] = field(default_factory=list)
    first_divergence: str | None = None
    worst_inputs: str | None = None
    edge: list[dict[str, Any]] = field(default_factory=list)
    profile: dict[str, Any] | None = None
    ort: dict[str, Any] | None = None
    latency_ms: dict[str, dict[str, float]] = field(default_factory=dict)
    environment: dict[str, str] = field(default_factory=dict)
    precision: dict[str, Any] | None = None
    command: str = ""
    schema: int = field(default=SCHEMA)

    @property
    def passed(self) -> bool:
        """Whether every comparison passed, and the file was written."""
        reduced = self.precision is None or self.precision["passed"]
        return reduced and all(comparison["passed"] for comparison in self.comparisons)

    @property
    def max_abs(self) -> float:
        """The largest difference between Keras and onnxruntime, relative to outputs above 1."""
        return max(entry["max_abs"] / entry["scale"] for entry in self.comparisons)

    @property
    def worst(self) -> dict[str, Any]:
        """The comparison that came out worst."""
        return max(self.comparisons, key=lambda c: (not c["passed"], c["max_abs"] / c["scale"]))

    @property
    def verify_command(self) -> str:
        """The command line that checks the file's seal on any machine."""
        return shlex.join(["python", "-m", "export.verify", self.target])

    def to_json(self) -> str:
        """Returns the report as JSON; what is not finite is written as a string."""
        verdict = {"verdict": "passed" if self.passed else "failed", "max_abs": self.max_abs}
        return json.dumps(_finite({**verdict, **asdict(self)}), indent=2) + "\n"

    def to_text(self) -> str:
        """Returns the report for a terminal."""
        file = self.file
        lines = [
            f"{self.source} -> {self.target}",
            f"  {self.parameters:,} parameters, {file['nodes']} nodes, {file['bytes']:,} bytes, "
            f"opset {file['opset']}, IR {file['ir_version']}",
            f"  inputs  {', '.join(file['inputs'])}",
            f"  outputs {', '.join(file['outputs'])}",
            f"  sha256  {file['sha256']}",
            "",
            f"Keras on {self.backend} against onnxruntime {self.versions['onnxruntime']}, "
            "optimized and not, on one thread and all",
            f"  {'output':16}{'suite':20}{'samples':>7}{'max abs':>9}{'rmse':>9}{'rounding':>9}"
            f"{'allowed':>9}",
        ]
        for entry in _shown(self.comparisons):
            rounding = "" if entry["rounding"] is None else f"{entry['rounding']:.1e}"
            lines.append(
                f"  {entry['output']:16}{entry['suite']:20}{entry['samples']:7}"
                f"{entry['max_abs']:9.1e}{entry['rmse']:9.1e}{rounding:>9}{entry['allowed']:9.1e}"
                f"  {in_words(entry)}"
            )
        lines += [f"  allowed: {self.tolerance}", ""]
        lines += [*_edge_in_words(self.edge), *_profile_in_words(self.profile), ""]
        if all(entry["passed"] for entry in self.comparisons):
            lines.append(f"PASSED: {self.max_abs:.1e} at most, times the largest output above 1")
            if self.ort:
                lines.append(
                    f"The .ort file has {self.ort['bytes']:,} bytes and the same outputs, bit for "
                    f"bit, in {len(self.ort['identical_on'])} comparisons; onnxruntime "
                    f"{self.ort['min_onnxruntime']} and later read it."
                )
        else:
            lines += ["FAILED. The ONNX file was not written.", *self._where()]
        if self.precision:
            lines += ["", *_precision_in_words(self.precision)]
        return "\n".join(lines)

    def _where(self):
        """Says where the file goes wrong, and how to see it again."""
        if self.first_divergence:
            yield f"  first difference: {self.first_divergence}"
        for entry in self.layers:
            if entry["local"] is not None:
                kind = "its own" if entry["local"] > entry["allowed"] else "inherited"
                yield (
                    f"    {entry['layer']:24} {entry['max_abs']:.1e}, {kind} "
                    f"({entry['local']:.1e} on right inputs)"
                )
        if self.worst_inputs:
            yield (
                f"  inputs: {self.worst_inputs}; to see it again, python -m export.to_onnx "
                f"{self.source} -o {self.target} --data {self.worst_inputs}"
            )


def _precision_in_words(result):
    """Says what the reduced precision costs and saves, and whether it passed."""
    name = result["precision"]
    yield f"{name} against Keras, the same way"
    for entry in _shown(result["comparisons"]):
        yield (
            f"  {entry['output']:16}{entry['suite']:20}{entry['samples']:7}"
            f"{entry['max_abs']:9.1e}{entry['rmse']:9.1e}  {in_words(entry)}"
        )
    yield ""
    yield f"{'':12}{'bytes':>12}{'nodes':>7}{'ms':>10}{'labels':>10}{'max abs':>10}"
    for row in result["rows"]:
        yield (
            f"  {row['precision']:10}{row['bytes']:12,}{row['nodes']:7}{row['latency_ms']:10.3f}"
            f"{row['score']:8.2f} %{row['max_abs']:10.1e}"
        )
    yield f"  labels: {result['criterion']}; Keras: {result['model']:.2f} %"
    yield "  ms: median of one thread, for one sample or one batch of a fixed size, measured here"
    yield ""
    if not all(entry["passed"] for entry in result["comparisons"]):
        yield f"FAILED: {name} gives NaN or infinity elsewhere than the model, or does not run."
    verdict = "PASSED" if result["drop"] <= result["max_drop"] else "FAILED"
    yield (
        f"{verdict}: {name} loses {result['drop']:.2f} percentage points, {result['max_drop']:g} "
        "allowed. Errors are reported and do not decide."
    )
    if not result["passed"]:
        yield "The ONNX file was not written."


def _shown(comparisons):
    """Leaves out the comparisons on sealed inputs, which are like others, where they passed."""
    return [c for c in comparisons if not (c["passed"] and c["suite"].startswith(SEALED))]


def in_words(entry: dict[str, Any]) -> str:
    """Returns the verdict of a comparison, with the reason for what was allowed."""
    if entry["error"]:
        return f"FAILED: {entry['error']}"
    if not entry["nan_equal"]:
        return "FAILED: another shape, or NaN and infinity in other places"
    if entry["label_flips"]:
        return f"FAILED: {entry['label_flips']} samples get another label"
    return "ok" if entry["passed"] else "FAILED"


def _edge_in_words(checks):
    yield "On a device"
    for entry in checks:
        mark = {True: "ok", False: "NO", None: ""}[entry["passed"]]
        yield f"  {entry['check']:16}{mark:4}{entry['finding']}"


def _profile_in_words(profile):
    for entry in profile["providers"] if profile else ():
        runs = entry["nodes"] - len(entry["unsupported"])
        yield f"  {entry['provider']:16}runs {runs} of {entry['nodes']} nodes"
        if entry["remark"]:
            yield f"    {entry['remark']}"
        alike = {}
        for node in entry["unsupported"]:
            name = node["node"].removeprefix(f"{node['layer']}/")
            alike.setdefault((node["layer"], node["reason"]), []).append(name)
        for (layer, reason), names in alike.items():
            yield f"    {layer or 'no layer'}: {reason}: {', '.join(names)}"


def _finite(value):
    if isinstance(value, dict):
        return {key: _finite(entry) for key, entry in value.items()}
    if isinstance(value, list):
        return [_finite(entry) for entry in value]
    if isinstance(value, float) and not math.isfinite(value):
        return str(value)
    return value
