"""Calls the steps of an export in order."""

import functools
import io
import json
import os
import tempfile
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from pathlib import Path

import keras
import numpy as np

from export import keras_model, progress
from export.admit.inputs import checked_data
from export.admit.prepare import Prepared, prepare
from export.c.program import CProgram, check_request, check_sizes, to_program
from export.compare.chosen_inputs import Inputs, choose_inputs, choose_suites, named_shapes
from export.compare.latency import latency_ms
from export.compare.locate import Divergence, divergence
from export.compare.mixed import mixed_precision
from export.compare.outputs import Candidate, Case, cases_of, compare_cases, compare_scores
from export.compare.parts import compare_layers
from export.compare.seal import seal
from export.compare.suites import SuiteSet
from export.compare.tolerance import TOLERANCE, tolerance_in_words
from export.convert.start import Conversion, convert, trace
from export.errors import ParityError
from export.graph import metadata
from export.graph.canonical import to_canonical
from export.graph.content import serialize
from export.options import ExportOptions
from export.reduce.automatic import candidates, chosen
from export.reduce.judge import judge
from export.reduce.reduced_file import reduced_file
from export.reduce.samples import Samples, choose_samples
from export.report import ExportReport, environment
from export.results import Check, Judgement, Latency, LayerError, OrtFacts, Part, Profile
from export.targets.checklist import checklist
from export.targets.ort_format import check_copy, to_ort
from export.targets.profiles import examine
from export.task import task_of
from export.verify import replay
from export.write import Target, write_atomically, write_together


def run(
    model: keras.Model | str | os.PathLike, path: str | os.PathLike, options: ExportOptions
) -> ExportReport:
    """Admits, converts, compares, reduces, seals and writes; see `export.export_onnx`."""
    target = Target(Path(path), options.force, options.c)
    target.check()
    if options.c:
        check_request(target.onnx.stem)
    with (
        tempfile.TemporaryDirectory() as folder,
        progress.shown(steps=5) as begin,
        ThreadPoolExecutor(2) as pool,  # Another process converts; this one runs the model.
    ):
        begin("reading the model")
        prepared = prepare(model, target.onnx, Path(folder), options)
        options = replace(options, input_range=prepared.input_range)
        begin("choosing inputs")
        suites, first = choose_suites(prepared, options)
        if options.c:
            check_sizes(suites.axes.known)
        begin("converting")
        how = options.target_opset, suites.compared, options.via, options.batch
        converting = pool.submit(convert, pool, prepared, *how)
        inputs = choose_inputs(prepared, suites, first)
        samples = samples_of(prepared, suites, options)
        conversion = converting.result()
        begin("comparing")
        float32 = compare_float32(prepared, inputs, conversion, options)
        reduced = reduce_precision(prepared, inputs, samples, conversion, float32, options)
        begin("packing")
        sealed = seal_and_pack(prepared, inputs, conversion, float32, reduced, target, options)
    report = report_of(prepared, inputs, conversion, float32, reduced, sealed, target, options)
    if float32.divergence:
        write_atomically(target.worst_inputs, _npz(prepared.model, float32.divergence))
    if sealed is None or not report.passed:
        raise ParityError(report.to_text(), report)
    target.check()  # Again, because the conversion took a while.
    write_together(sealed.contents, derived=target.derived)
    return report


def samples_of(prepared: Prepared, suites: SuiteSet, options: ExportOptions) -> Samples | None:
    """Chooses the samples for reduced precision, or none for float32."""
    if options.precision == "float32":
        return None
    model = prepared.model
    return choose_samples(
        model,
        checked_data(model, options.data),
        options.limits,
        task_of(model, options),
        options.precision in ("int8", "auto") and options.data is not None,
        suites.axes.shapes(model, suites.probe.sizes),
    )


@dataclass(frozen=True)
class Float32:
    """The float32 file, with its layers, their parts, and the first difference, if any.

    The cases are those on which each file is compared.
    """

    candidate: Candidate
    cases: list[Case]
    layers: list[LayerError]
    parts: list[Part]
    divergence: Divergence | None

    @property
    def passed(self) -> bool:
        """Whether the outputs and all parts agree with the model."""
        return self.candidate.passed and all(part.passed for part in self.parts)


def compare_float32(
    prepared: Prepared, inputs: Inputs, conversion: Conversion, options: ExportOptions
) -> Float32:
    """Makes the canonical file, and compares it with the model."""
    model, suites = prepared.model, inputs.suites
    file, raw_names = to_canonical(
        conversion.raw,
        *named_shapes(model, inputs, options.batch),
        keras_model.layer_names(model),
        _properties(model, inputs, options),
        options.allow,
    )
    known = suites.compared, inputs.expected, conversion.references, inputs.nearby
    cases = cases_of(model, *known)
    with ThreadPoolExecutor(1) as pool:  # Each leaves processors to the other.
        layers = pool.submit(compare_layers, model, file, suites.probe)
        comparisons = compare_cases(model, file, cases)
    if suites.all_real is not None:
        comparisons.append(compare_scores(model, file, suites.all_real, comparisons))
    candidate = Candidate(file, serialize(file), comparisons)
    if candidate.passed:
        return Float32(candidate, cases, *layers.result(), None)
    where = divergence(model, candidate, raw_names, suites, functools.partial(trace, prepared))
    return Float32(candidate, cases, where.layers, [], where)


@dataclass(frozen=True)
class Reduced:
    """The file of reduced precision, and its judgement."""

    candidate: Candidate
    judgement: Judgement


def reduce_precision(
    prepared: Prepared,
    inputs: Inputs,
    samples: Samples | None,
    conversion: Conversion,
    float32: Float32,
    options: ExportOptions,
) -> Reduced | None:
    """Makes and judges the file of reduced precision, if it is wanted and float32 passed."""
    if samples is None or not float32.passed:
        return None
    automatic = options.precision == "auto"
    names = [options.precision]
    if automatic:
        names = candidates(float32.candidate.file, options)
    tried = [
        _reduced(prepared, inputs, samples, conversion, float32, replace(options, precision=name))
        for name in names
    ]
    if not automatic:
        return tried[0]
    judgement = chosen([one.judgement for one in tried])
    files = {one.judgement.precision: one.candidate for one in tried}
    return Reduced(files.get(judgement.precision, float32.candidate), judgement)


def _reduced(prepared, inputs, samples, conversion, float32, options) -> Reduced:
    model, suites = prepared.model, inputs.suites
    properties = _properties(model, inputs, options) | samples.metadata(options)
    file = reduced_file(
        model, float32.candidate.file, options, samples, suites.ordinary, properties
    )
    comparisons = compare_cases(model, file, float32.cases)
    candidate = Candidate(file, serialize(file), comparisons)
    return Reduced(candidate, judge(model, float32.candidate, candidate, samples, options))


@dataclass(frozen=True)
class Sealed:
    """The files to write, and the checks for devices."""

    contents: dict[Path, bytes]
    seal_holds: bool
    edge: list[Check]
    profile: Profile | None
    latency_ms: dict[str, Latency]
    ort: OrtFacts | None
    program: CProgram | None


def seal_and_pack(
    prepared: Prepared,
    inputs: Inputs,
    conversion: Conversion,
    float32: Float32,
    reduced: Reduced | None,
    target: Target,
    options: ExportOptions,
) -> Sealed | None:
    """Makes the seal and the copies of a file that passed, and checks the file for devices."""
    if not float32.passed or (reduced and not reduced.judgement.passed):
        return None
    shipped = reduced.candidate if reduced else float32.candidate
    digest = metadata.facts(shipped.file, shipped.content).sha256
    sealed = seal(
        conversion.worker.result(), digest, reduced.judgement.comparisons if reduced else ()
    )
    contents, ort = {target.onnx: shipped.content, target.seal: sealed}, None
    if options.ort:
        copy, operators = to_ort(shipped.content, target.onnx)
        contents |= zip(target.copies, (copy, operators), strict=True)
        ort = check_copy(prepared.model, shipped.content, copy, inputs.suites.compared)
    program = None
    if options.c:
        scored, batch = keras_model.scored_output(prepared.model), options.batch or 1
        sources = to_program(
            target.sources, shipped, sealed, float32.cases, batch, scored, options.ram
        )
        contents, program = contents | sources[0], sources[1]
    return Sealed(
        contents,
        seal_holds=replay(shipped.content, sealed).passed,
        edge=checklist(shipped.file, shipped.content, options.min_onnxruntime),
        profile=examine(shipped.file, options.profile) if options.profile else None,
        latency_ms=latency_ms(shipped.file, shipped.content),
        ort=ort,
        program=program,
    )


def report_of(
    prepared: Prepared,
    inputs: Inputs,
    conversion: Conversion,
    float32: Float32,
    reduced: Reduced | None,
    sealed: Sealed | None,
    target: Target,
    options: ExportOptions,
) -> ExportReport:
    """Builds the report of all steps."""
    shown = reduced.candidate if reduced else float32.candidate
    backend = keras.backend.backend()
    return ExportReport(
        source=prepared.name,
        target=str(target.onnx),
        parameters=prepared.model.count_params(),
        backend=backend,
        tolerance=tolerance_in_words(conversion.references),
        comparisons=float32.candidate.comparisons,
        warnings=[*inputs.warnings, *float32.candidate.warnings],
        task=task_of(prepared.model, options).kind,
        input_range=prepared.input_range,
        mixed=mixed_precision(prepared, inputs.suites.probe),
        file=metadata.facts(shown.file, shown.content),
        versions=environment.export_versions() | environment.versions(("onnxruntime", backend)),
        environment=environment.machine(),
        layers=float32.layers,
        parts=float32.parts,
        first_divergence=float32.divergence and float32.divergence.first,
        worst_inputs=str(target.worst_inputs) if float32.divergence else None,
        edge=sealed.edge if sealed else [],
        profile=sealed.profile if sealed else None,
        ort=sealed.ort if sealed else None,
        program=sealed.program if sealed else None,
        latency_ms=sealed.latency_ms if sealed else {},
        precision=reduced.judgement if reduced else None,
        seal_holds=sealed is None or sealed.seal_holds,
    )


def _properties(model: keras.Model, inputs: Inputs, options: ExportOptions) -> dict[str, str]:
    properties = metadata.properties(model, options, environment.export_versions(), TOLERANCE)
    sizes = inputs.suites.axes.sizes
    return properties | ({"sizes": json.dumps(sizes)} if sizes != [{}] else {})


def _npz(model: keras.Model, where: Divergence) -> bytes:
    with io.BytesIO() as buffer:
        arrays: dict = dict(zip(keras_model.input_names(model), where.suite.inputs, strict=True))
        np.savez(buffer, **arrays)
        return buffer.getvalue()
