"""Compares a model with an ONNX file that any exporter wrote."""

import functools
import os
import tempfile
from pathlib import Path
from typing import Any

import keras
import onnx

from export import keras_model, pipeline
from export.admit import onnx_file
from export.admit.prepare import Prepared, prepare
from export.compare.locate import Divergence, divergence, placed_layers
from export.compare.mixed import mixed_precision
from export.compare.outputs import Candidate, compare
from export.compare.parts import compare_parts
from export.compare.tolerance import tolerance_in_words
from export.convert.start import references, trace
from export.errors import ConversionError, UnsupportedOperationError, UsageError
from export.graph import metadata
from export.graph.canonical import serialize, to_canonical
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
    with tempfile.TemporaryDirectory() as folder:
        options = ExportOptions(data=data, input_range=input_range)
        prepared = prepare(model, path, Path(folder), options)
        file = _with_names_of(prepared.model, content)
        options = ExportOptions(data=data, input_range=prepared.input_range, batch=_batch(file))
        inputs = pipeline.choose_inputs(prepared, options)
        suites = inputs.suites.compared
        truths = references(prepared, suites)
        comparisons = compare(prepared.model, file, suites, inputs.expected, truths)
        candidate = Candidate(file, serialize(file), comparisons)
        parts, where = _located(prepared, candidate, inputs, options)
    backend = keras.backend.backend()
    return ExportReport(
        source=prepared.name,
        target=str(path),
        parameters=prepared.model.count_params(),
        backend=backend,
        tolerance=tolerance_in_words(truths),
        comparisons=comparisons,
        input_range=prepared.input_range,
        mixed=mixed_precision(prepared, inputs.suites.probe),
        warnings=inputs.warnings,
        task=task_of(prepared.model, options).kind,
        file=metadata.facts(file, path.read_bytes()),
        versions=environment.export_versions() | environment.versions(("onnxruntime", backend)),
        environment=environment.machine(),
        layers=where.layers if where else [],
        parts=parts,
        first_divergence=where and where.first,
        edge=checklist(file, path.read_bytes(), None),
        foreign=True,
    )


def _located(
    prepared: Prepared, candidate: Candidate, inputs: pipeline.Inputs, options: ExportOptions
) -> tuple[list[Part], Divergence | None]:
    """Compares the layers, as far as the names of the file's nodes tell where they are."""
    model, suites = prepared.model, inputs.suites
    try:
        file, raw_names = to_canonical(
            candidate.file,
            *pipeline.named_shapes(model, inputs, options.batch),
            keras_model.layer_names(model),
            {},
        )
    except (ConversionError, UnsupportedOperationError):  # A file with control flow, for example.
        return [], None
    if candidate.passed:
        return compare_parts(file, placed_layers(model, file, suites.probe)), None
    renamed = Candidate(file, serialize(file), candidate.comparisons)
    return [], divergence(model, renamed, raw_names, suites, functools.partial(trace, prepared))


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
