"""Writes the report for a terminal."""

from collections.abc import Iterator
from typing import TYPE_CHECKING

from export.results import Check, Comparison, Judgement, MixedPrecision, Part, Profile

if TYPE_CHECKING:
    from export.c.program import CProgram
    from export.report.export_report import ExportReport

SHOWN_LAYERS = 8


def to_text(report: "ExportReport") -> str:
    """Returns the report as lines of text."""
    lines = [*_file(report), "", *_comparisons(report), "", *_edge(report.edge)]
    lines += [*_profile(report.profile), "", *_verdict(report)]
    if report.precision:
        lines += ["", *_precision(report.precision)]
    return "\n".join(lines)


def verdict_of(entry: Comparison) -> str:
    """Returns the verdict of a comparison, with the reason if it failed."""
    if entry.error:
        return f"FAILED: {entry.error}"
    if not entry.nan_equal:
        return "FAILED: another shape, or NaN and infinity at other positions"
    if entry.label_flips:
        return f"FAILED: {entry.label_flips} samples get another label"
    return "ok" if entry.passed else "FAILED"


def precision_in_words(mixed: MixedPrecision) -> str:
    """Returns how far a model of another precision is from its float32 file."""
    return (
        f"the model computes in {', '.join(mixed.policies)}, the file in float32: on random "
        f"inputs they differ by {mixed.max_abs:.1e} at outputs up to {mixed.scale:.1e}"
    )


def _file(report):
    file = report.file
    lines = [
        f"{report.source} -> {report.target}",
        f"  {report.parameters:,} parameters, {file.nodes} nodes, {file.bytes:,} bytes, "
        f"opset {file.opset}, IR {file.ir_version}",
        f"  inputs  {', '.join(file.inputs)}",
        f"  outputs {', '.join(file.outputs)}",
        f"  range   {report.input_range[0]:g} to {report.input_range[1]:g}, black to white",
        f"  task    {report.task}",
        f"  sha256  {file.sha256}",
    ]
    return lines if report.mixed is None else [*lines, f"  {precision_in_words(report.mixed)}"]


def _comparisons(report):
    yield (
        f"Keras on {report.backend} against onnxruntime {report.versions['onnxruntime']}, "
        "optimized and not, on one thread and all"
    )
    yield (
        f"  {'output':16}{'suite':20}{'samples':>7}{'max abs':>9}{'rmse':>9}{'rounding':>9}"
        f"{'allowed':>9}"
    )
    for entry in _without_sealed(report.comparisons):
        yield f"{_differences(entry)}{entry.rounding:9.1e}{entry.allowed:9.1e}  {verdict_of(entry)}"
    yield f"  allowed: {report.tolerance}"
    if report.parts:
        yield f"  {parts_in_words(report.parts)}"


def _differences(entry):
    return (
        f"  {entry.output:16}{entry.suite.label:20}{entry.suite.samples:7}"
        f"{entry.max_abs:9.1e}{entry.rmse:9.1e}"
    )


def _without_sealed(comparisons: list[Comparison]) -> list[Comparison]:
    """Omits passed comparisons on sealed inputs, because they resemble others."""
    return [entry for entry in comparisons if not (entry.passed and entry.suite.sealed)]


def parts_in_words(parts: list[Part]) -> str:
    """Returns how many layers were compared on their own inputs, and what stayed unreached."""
    compared = [part for part in parts if part.error is not None]
    text = f"{len(compared)} of {len(parts)} layers were compared on their own inputs"
    merged = [part.layer for part in parts if part.error is None]
    if merged:
        text += f"; merged with others, or not to be run alone: {_some(merged)}"
    unmoved = [f"{part.unmoved} in {part.layer}" for part in compared if part.unmoved]
    if unmoved:
        text += f"; units that no input moves: {_some(unmoved)}"
    failed = [part.layer for part in compared if not part.passed]
    return text + (f"; DIFFERENT: {', '.join(failed)}" if failed else "")


def _some(names: list[str]) -> str:
    """Returns the first names in words, and how many there are beside them; JSON has them all."""
    more = len(names) - SHOWN_LAYERS
    return ", ".join(names[:SHOWN_LAYERS]) + (f" and {more} more" if more > 0 else "")


def _edge(checks: list[Check]) -> Iterator[str]:
    yield "On a device"
    for entry in checks:
        mark = {True: "ok", False: "NO", None: ""}[entry.passed]
        yield f"  {entry.check:16}{mark:4}{entry.finding}"


def _profile(profile: Profile | None) -> Iterator[str]:
    for entry in profile.providers if profile else ():
        runs = entry.nodes - len(entry.unsupported)
        yield f"  {entry.provider:16}runs {runs} of {entry.nodes} nodes"
        if entry.remark:
            yield f"    {entry.remark}"
        alike = {}
        for node in entry.unsupported:
            name = node.node.removeprefix(f"{node.layer}/")
            alike.setdefault((node.layer, node.reason), []).append(name)
        for (layer, reason), names in alike.items():
            yield f"    {layer or 'no layer'}: {reason}: {', '.join(names)}"


def _verdict(report):
    for warning in report.warnings:
        yield f"WARNING: {warning}"
    if not all(entry.passed for entry in (*report.comparisons, *report.parts)):
        yield "FAILED." if report.foreign else "FAILED. The ONNX file was not written."
        yield from _divergence(report)
        return
    yield f"PASSED: {report.max_abs:.1e} at most, times the largest output"
    if report.ort:
        yield (
            f"The .ort file has {report.ort.bytes:,} bytes and the same outputs, bit for bit, in "
            f"{len(report.ort.identical_on)} comparisons; onnxruntime "
            f"{report.ort.min_onnxruntime} and later read it."
        )
    if report.program:
        yield from program_in_words(report.program)
    if not report.seal_holds:
        yield "FAILED: the seal does not hold. The ONNX file was not written."


def program_in_words(program: "CProgram") -> Iterator[str]:
    """Describes the program of C, and what each machine made of it."""
    need = program.need
    yield f"In C: {', '.join(program.files)}, by {program.generator}"
    if program.fixed:
        yield f"  fixed: {', '.join(f'{name} {size}' for name, size in program.fixed.items())}"
    yield (
        f"  flash {need.flash:,} bytes, RAM {need.ram:,}: {need.static:,} static, {need.stack:,} "
        f"stack, without the C library ({program.measured})"
    )
    yield f"  {program.multiply_adds:,} multiply-adds a call"
    for run in program.runs:
        most = max(entry.relative for entry in run.comparisons)
        selftest = "passed" if run.selftest else "FAILED"
        yield (
            f"  on {run.machine}: {most:.1e} at most, times the largest output, in "
            f"{len(run.comparisons)} comparisons; self-test {selftest}"
        )
        wrong = [entry for entry in run.comparisons if not entry.passed]
        yield from (f"  {_differences(entry)}  {verdict_of(entry)}" for entry in wrong)
    if program.remark:
        yield f"  {program.remark}"
    if not program.passed:
        yield "FAILED: the program of C computes something else. Nothing was written."


def _divergence(report):
    """Describes the first difference, and how to reproduce it."""
    if report.first_divergence:
        yield f"  first difference: {report.first_divergence}"
    for entry in report.layers:
        if entry.local is not None:
            kind = "its own" if entry.local > entry.allowed else "inherited"
            yield (
                f"    {entry.layer:24} {entry.max_abs:.1e}, {kind} "
                f"({entry.local:.1e} on right inputs)"
            )
    if report.worst_inputs:
        yield (
            f" inputs: {report.worst_inputs}; to reproduce it, python -m export.to_onnx "
            f"{report.source} -o {report.target} --data {report.worst_inputs}"
        )


def _precision(result: Judgement) -> Iterator[str]:
    """Describes the cost and the gain of the reduced precision, and whether it passed."""
    name = result.precision
    if result.comparisons:
        yield f"{name} against Keras, the same way"
    for entry in _without_sealed(result.comparisons):
        yield f"{_differences(entry)}  {verdict_of(entry)}"
    yield ""
    yield f"{'':12}{'bytes':>12}{'nodes':>7}{'ms':>10}{'labels':>10}{'max abs':>10}"
    for row in result.rows:
        yield (
            f"  {row.precision:10}{row.bytes:12,}{row.nodes:7}{row.latency_ms:10.3f}"
            f"{row.score:8.2f} %{row.max_abs:10.1e}"
        )
    yield f"  labels: {result.criterion}; Keras: {result.model:.2f} %"
    yield "  ms: median of one thread, for one sample or one batch of a fixed size, measured here"
    if result.rows[-1].bytes >= result.rows[0].bytes and len(result.rows) == 2:
        yield f"  {name} saves no bytes in a model this small: take float32"
    if len(result.rows) > 2 or name == "float32":
        yield f"  auto: {name} is the smallest of those that lose little and are not slower here"
    yield ""
    if not all(entry.passed for entry in result.comparisons):
        yield f"FAILED: {name} gives NaN or infinity where the model does not, or does not run."
    verdict = "PASSED" if result.drop <= result.max_drop else "FAILED"
    yield (
        f"{verdict}: {name} loses {result.drop:.2f} percentage points, {result.max_drop:g} "
        "allowed. Errors are reported, but do not decide."
    )
    if not result.passed:
        yield "The ONNX file was not written."
