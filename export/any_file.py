"""Compares a model with an ONNX file that any exporter wrote."""

import functools
import os
import tempfile
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import keras
import numpy as np
import onnx

from export import keras_model
from export.admit import onnx_file
from export.admit.prepare import Prepared, prepare
from export.compare.chosen_inputs import Inputs, choose_inputs, choose_suites, named_shapes
from export.compare.locate import Divergence, divergence, placed_layers
from export.compare.mixed import mixed_precision
from export.compare.outputs import Candidate, Case, cases_of, compare_cases
from export.compare.parts import compare_parts
from export.compare.tolerance import tolerance_in_words
from export.convert.start import references, trace
from export.errors import ConversionError, UnsupportedOperationError, UsageError
from export.graph import metadata
from export.graph.canonical import PRODUCER, to_canonical
from export.graph.content import serialize
from export.options import ExportOptions
from export.report import ExportReport, environment
from export.results import Part
from export.targets.checklist import checklist
from export.task import task_of


def compare_file(
    model: keras.Model | str | os.PathLike,
    path: str | os.PathLike,
    data: dict[str, Any] | None = None,
    input_range: tuple[float, float] | None = None,
) -> ExportReport:
    """Compares a model with a file; see `export.compare`."""
    path = Path(path)
    content = onnx_file.load(path)
    options = ExportOptions(data=data, input_range=input_range, batch=_batch(content))
    with tempfile.TemporaryDirectory() as folder:
        known = known_model(prepare(model, path, Path(folder), options), options)
        verdict = judge_file(known, content)
        where = None if verdict.candidate.passed else _divergence(known, verdict)
    prepared, inputs, candidate = known.prepared, known.inputs, verdict.candidate
    backend = keras.backend.backend()
    return ExportReport(
        source=prepared.name,
        target=str(path),
        parameters=prepared.model.count_params(),
        backend=backend,
        tolerance=tolerance_in_words(known.truths),
        comparisons=candidate.comparisons,
        input_range=prepared.input_range,
        mixed=mixed_precision(prepared, inputs.suites.probe),
        warnings=[*inputs.warnings, *candidate.warnings],
        task=task_of(prepared.model, options).kind,
        file=metadata.facts(candidate.file, path.read_bytes()),
        versions=environment.export_versions() | environment.versions(("onnxruntime", backend)),
        environment=environment.machine(),
        layers=where.layers if where else [],
        parts=verdict.parts,
        first_divergence=where and where.first,
        edge=checklist(candidate.file, path.read_bytes(), None),
        foreign=True,
    )


@dataclass(frozen=True)
class Known:
    """What is known of a model before a file is compared with it.

    Attributes:
        prepared: The model.
        options: Options with the data, the range of inputs, and the batch of the file.
        inputs: The inputs.
        truths: Outputs of the float64 model for each suite, or the reason why there are none.
        cases: The suites, with the model's outputs and the tolerances.
    """

    prepared: Prepared
    options: ExportOptions
    inputs: Inputs
    truths: list[list[np.ndarray]] | str
    cases: list[Case]


def known_model(
    prepared: Prepared, options: ExportOptions, float64: Callable = references
) -> Known:
    """Runs a model, in float64 too.

    Args:
        prepared: The model.
        options: See `Known`.
        float64: Function like `export.convert.start.references`.
    """
    options = replace(options, input_range=prepared.input_range)
    inputs = choose_inputs(prepared, *choose_suites(prepared, options))
    truths = float64(prepared, inputs.suites.compared)
    known = inputs.suites.compared, inputs.expected, truths, inputs.nearby
    cases = cases_of(prepared.model, *known)
    return Known(prepared, options, inputs, truths, cases)


@dataclass(frozen=True)
class Verdict:
    """What a file computes, compared with a model.

    Attributes:
        candidate: The file, with the model's names for its inputs and outputs.
        named: The file whose nodes have the names of the model's layers, and the file's names for
            its values. `None` if the nodes cannot be named.
        parts: The layers on their own inputs, if the outputs agree.
    """

    candidate: Candidate
    named: tuple[onnx.ModelProto, dict[str, str]] | None
    parts: list[Part]

    @property
    def passed(self) -> bool:
        """Whether the outputs and all parts agree with the model."""
        return self.candidate.passed and all(part.passed for part in self.parts)


def judge_file(known: Known, content: onnx.ModelProto) -> Verdict:
    """Compares a file with a model, and its layers too, as far as their names tell where they are.

    Args:
        known: The model.
        content: The file.

    Raises:
        UsageError: If inputs or outputs do not correspond.
        ConversionError: If onnxruntime cannot load the file.
    """
    model = known.prepared.model
    file = _with_names_of(model, content)
    candidate = Candidate(file, serialize(file), compare_cases(model, file, known.cases))
    named = _named_after_layers(known, file)
    if named is None or not candidate.passed:
        return Verdict(candidate, named, [])
    placed = placed_layers(model, named[0], known.inputs.suites.probe)
    return Verdict(candidate, named, compare_parts(named[0], placed))


def _named_after_layers(known, file):
    if file.producer_name == PRODUCER:
        return file, {name: name for node in file.graph.node for name in node.output}
    model = known.prepared.model
    shapes = named_shapes(model, known.inputs, known.options.batch)
    try:
        return to_canonical(file, *shapes, keras_model.layer_names(model), {})
    except (ConversionError, UnsupportedOperationError):  # A file with control flow, for example.
        return None


def _divergence(known: Known, verdict: Verdict) -> Divergence | None:
    if verdict.named is None:
        return None
    file, raw_names = verdict.named
    renamed = Candidate(file, serialize(file), verdict.candidate.comparisons)
    traced = functools.partial(trace, known.prepared)
    suites = known.inputs.suites
    return divergence(known.prepared.model, renamed, raw_names, suites, traced)


def _with_names_of(model, file):
    """Returns a copy of a file whose inputs and outputs have the names of the model's."""
    renamed = onnx.ModelProto()
    renamed.CopyFrom(file)
    graph = renamed.graph
    weights = {tensor.name for tensor in graph.initializer}
    inputs = [value for value in graph.input if value.name not in weights]
    new = _new_names("inputs", inputs, keras_model.input_names(model))
    new |= _new_names("outputs", graph.output, keras_model.output_names(model))
    taken = set(new.values()) - set(new)
    inner = {name for node in graph.node for name in (*node.input, *node.output)}
    new |= {name: f"{name}/inner" for name in inner & taken}
    for value in (*graph.input, *graph.output, *graph.value_info, *graph.initializer):
        value.name = new.get(value.name, value.name)
    for node in graph.node:
        for ends in (node.input, node.output):
            ends[:] = [new.get(end, end) for end in ends]
    return renamed


def _new_names(kind, values, names):
    own = [value.name for value in values]
    if len(own) != len(names):
        raise UsageError(
            f"The model has the {kind} {', '.join(names)}, and the file {', '.join(own)}."
        )
    return dict(zip(own, own if set(own) == set(names) else names, strict=True))


def _batch(file):
    """Returns the size of a file's batches, or `None` if it is open."""
    shapes = [value.type.tensor_type.shape.dim for value in file.graph.input]
    return next((shape[0].dim_value for shape in shapes if len(shape)), 0) or None
