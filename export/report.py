"""What an export did, as text and as JSON."""

import json
import math
from dataclasses import asdict, dataclass, field
from typing import Any

SCHEMA = 1


@dataclass
class ExportReport:
    """The result of an export: what was converted, what was compared and how it came out.

    Attributes:
        source: Path of the Keras model, or its name where it came from memory.
        target: Path of the ONNX file.
        parameters: Number of the model's parameters.
        backend: Backend that the model ran on for the comparison.
        tolerance: See `export.parity.TOLERANCE`.
        comparisons: A dictionary for each output and suite, see `export.parity.Comparison`.
        file: Facts of the ONNX file: `bytes`, `sha256`, `opset`, `ir_version`, `nodes`,
            `operations`, `inputs` and `outputs`.
        versions: Versions of the packages that took part.
        first_divergence: First Keras layer whose output differs, where the comparison failed.
        edge: What a device may stumble over, see `export.edge.checklist`.
        profile: What the target's execution providers cannot run, see `export.profiles.examine`.
        ort: Facts of the `.ort` file: `bytes`, `sha256`, the `min_onnxruntime` that reads it and
            the suites it was `identical_on`.
    """

    source: str
    target: str
    parameters: int
    backend: str
    tolerance: float
    comparisons: list[dict[str, Any]]
    file: dict[str, Any]
    versions: dict[str, str]
    first_divergence: str | None = None
    edge: list[dict[str, Any]] = field(default_factory=list)
    profile: dict[str, Any] | None = None
    ort: dict[str, Any] | None = None
    schema: int = field(default=SCHEMA)

    @property
    def passed(self) -> bool:
        """Whether every comparison passed, and the file was written."""
        return all(comparison["passed"] for comparison in self.comparisons)

    @property
    def max_abs(self) -> float:
        """The largest difference between Keras and onnxruntime, relative to outputs above 1."""
        return max(entry["max_abs"] / entry["scale"] for entry in self.comparisons)

    @property
    def worst(self) -> dict[str, Any]:
        """The comparison that came out worst."""
        return max(self.comparisons, key=lambda c: (not c["passed"], c["max_abs"] / c["scale"]))

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
            f"  {'output':16}{'inputs':18}{'samples':>7}{'max abs':>10}{'rmse':>10}{'allowed':>10}",
        ]
        for entry in self.comparisons:
            remark = _in_words(entry)
            lines.append(
                f"  {entry['output']:16}{entry['suite']:18}{entry['samples']:7}"
                f"{entry['max_abs']:10.1e}{entry['rmse']:10.1e}{entry['allowed']:10.1e}  {remark}"
            )
        lines += ["", *_edge_in_words(self.edge), *_profile_in_words(self.profile), ""]
        if self.passed:
            rounding = sum(entry["sensitivity"] is not None for entry in self.comparisons)
            lines.append(
                f"PASSED: {self.max_abs:.1e} at most; {self.tolerance:.0e} allowed, times the "
                "largest output where that exceeds 1"
                + (f", and more in {rounding} comparisons, as said there." if rounding else ".")
            )
            if self.ort:
                lines.append(
                    f"The .ort file has {self.ort['bytes']:,} bytes and the same outputs, bit for "
                    f"bit, in {len(self.ort['identical_on'])} comparisons; onnxruntime "
                    f"{self.ort['min_onnxruntime']} and later read it."
                )
        else:
            lines.append(f"FAILED: {self.tolerance:.0e} allowed. Nothing was written.")
            if self.first_divergence:
                lines[-1] += f" First layer that differs: {self.first_divergence}."
        return "\n".join(lines)


def _in_words(entry):
    if entry["error"]:
        return f"FAILED: {entry['error']}"
    if not entry["nan_equal"]:
        return "FAILED: another shape, or NaN and infinity in other places"
    if entry["label_flips"]:
        return f"FAILED: {entry['label_flips']} samples get another label"
    verdict = "ok" if entry["passed"] else "FAILED"
    if entry["sensitivity"] is None:
        return verdict
    return f"{verdict}: the last bit of the inputs moves the model by {entry['sensitivity']:.1e}"


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
