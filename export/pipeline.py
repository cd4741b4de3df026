"""The steps of an export in their order: read, convert, tidy, verify, write."""

import functools
import hashlib
import io
import json
import tempfile
from collections import Counter
from dataclasses import asdict
from pathlib import Path

import keras
import numpy as np

import keras_capsules
from export import (
    convert,
    edge,
    environment,
    golden,
    locate,
    ort_format,
    parity,
    precision,
    prepare,
    preprocess,
    profiles,
    source,
    suites,
    tidy,
)
from export.errors import ParityError, UsageError
from export.options import ExportOptions
from export.packages import versions
from export.report import ExportReport
from export.verify import golden_path, replay
from export.write import check_target, write_atomically, write_together


def run(model, path, options: ExportOptions) -> ExportReport:
    """Does what `export.export_onnx` says."""
    target = Path(path)
    twins = ort_format.paths(target)  # Old ones would not belong to the new file.
    targets = [target, golden_path(target), *twins]
    for path in targets:
        check_target(path, options.force)
    labels = None if options.labels is None else [str(label) for label in options.labels]
    data = options.data and {name: np.asarray(array) for name, array in options.data.items()}
    with tempfile.TemporaryDirectory() as folder:
        name, model, unpacked, modules = prepare.prepare(model, target, Path(folder), options)
        _check_labels(model, labels)
        _check_data(model, data)
        if options.precision != "float32":
            calibrated = options.precision == "int8"
            samples = precision.samples(model, data, options.input_range, calibrated)
        inputs = suites.suites(model, options.input_range, data, options.batch)
        inputs += golden.sealed_suites(inputs)
        raw, references, vectors = convert.convert(
            unpacked, options.opset, modules, inputs, options.via, options.batch
        )
        file, raw_names = tidy.tidy(
            raw,
            _shapes(source.input_names(model), model.inputs, options.batch),
            _shapes(source.output_names(model), model.outputs, options.batch),
            source.layer_names(model),
            _metadata(model, labels, options),
        )
        content = tidy.serialize(file)
        comparisons = parity.compare(model, file, inputs, references)
        whole = suites.all_real(model, data, options.batch)
        comparisons += [parity.compare_scores(model, file, s, comparisons) for s in whole]
        report = ExportReport(
            source=name,
            target=str(target),
            parameters=model.count_params(),
            backend=keras.backend.backend(),
            tolerance=parity.tolerance_in_words(references),
            comparisons=[asdict(comparison) for comparison in comparisons],
            file=_facts(file, content),
            versions=_versions() | versions(("onnxruntime", keras.backend.backend())),
            environment=environment.facts(),
        )
        suite = _shown(report, inputs + whole, options)
        if not report.worst["error"]:
            errors = locate.layer_errors(model, file, suite, local=not report.passed)
            report.layers = [asdict(error) for error in errors]
        if not report.passed:
            report.worst_inputs = str(_save_inputs(target, model, suite))
            report.first_divergence = locate.failing_node(report.worst["error"])
            if report.layers:
                trace = functools.partial(convert.trace, unpacked, modules, suite)
                values = locate.all_values(file, model, suite)
                report.first_divergence = locate.first_divergence(
                    errors, file, values, raw_names, trace
                )
            raise ParityError(report.to_text(), report)
        reduced = []
        if options.precision != "float32":
            metadata = _metadata(model, labels, options) | samples.metadata(options)
            files = {"float32": (file, comparisons)}
            file = precision.reduce(model, file, options, samples, inputs, metadata)
            files[options.precision] = file, parity.compare(model, file, inputs, references)
            report.precision = precision.judge(model, files, samples, options)
            content, reduced = tidy.serialize(file), report.precision["comparisons"]
            report.file = _facts(file, content)
            if not report.passed:
                raise ParityError(report.to_text(), report)
        report.edge = edge.checklist(file, content, options.min_onnxruntime)
        report.profile = options.profile and profiles.examine(file, options.profile)
        report.latency_ms = environment.latency_ms(file, content)
        sealed = golden.seal(vectors, report.file["sha256"], reduced)
        if not replay(content, sealed).passed:
            raise ParityError(f"{report.to_text()}\nFAILED: the seal does not hold.", report)
        contents = {target: content, golden_path(target): sealed}
        if options.ort:
            contents |= zip(twins, ort_format.convert(content, target), strict=True)
            report.ort = ort_format.verify(model, content, contents[twins[0]], inputs)
        for path in targets:
            check_target(path, options.force)  # The conversion took a while.
        write_together(contents, derived=twins)
    return report


def _shown(report, inputs, options):
    """Returns the inputs on which the layers are compared: random ones, or the worst batch."""
    named = {suite.name: suite for suite in inputs}
    if report.passed:
        return named[f"random, batch {options.batch or 7}"]
    return named[report.worst["suite"]].around(report.worst["sample"])


def _shapes(names, tensors, batch):
    return {name: (batch, *x.shape[1:]) for name, x in zip(names, tensors, strict=True)}


def _save_inputs(target, model, suite):
    """Stores the inputs on which the file fails, as `--data` takes them."""
    path = target.with_suffix(".worst.npz")
    with io.BytesIO() as buffer:
        np.savez(buffer, **dict(zip(source.input_names(model), suite.inputs, strict=True)))
        write_atomically(path, buffer.getvalue())
    return path


def _check_labels(model, labels):
    names, scored = source.output_names(model), source.scored_output(model)
    classes = model.outputs[scored].shape[-1]
    if labels is not None and len(labels) != classes:
        raise UsageError(
            f"The output {names[scored]!r} has {classes} columns, so there must be {classes} "
            f"labels. Received: {len(labels)} labels, {', '.join(labels[:12])}"
        )


def _check_data(model, data):
    if data is None:
        return
    expected = {
        name: tuple(tensor.shape[1:])
        for name, tensor in zip(source.input_names(model), model.inputs, strict=True)
    }
    received = {name: tuple(array.shape) for name, array in data.items()}
    samples = {shape[0] for name, shape in received.items() if name in expected and shape}
    fits = all(received.get(name, ())[1:] == shape for name, shape in expected.items())
    if not fits or len(samples) != 1 or 0 in samples:
        raise UsageError(
            "The data must hold an array for each input, with the same number of samples before "
            f"the shape of one: {expected}. Received: {received}"
        )
    for name, tensor in zip(source.input_names(model), model.inputs, strict=True):
        if tensor.dtype == "uint8" and data[name].dtype != "uint8":
            raise UsageError(
                f"The input {name!r} takes raw pixels from 0 to 255, so its data must be uint8. "
                f"Received: {data[name].dtype}"
            )


def _metadata(model, labels, options):
    """What the file says of itself, and nothing that depends on day, machine or backend."""
    input_range = (0, 255) if options.preprocess else options.input_range
    return {
        "class_names": json.dumps(labels) if labels is not None else "",
        "input_range": json.dumps([float(limit) for limit in input_range]),
        "preprocessing": json.dumps(preprocess.description(options)),
        "verification": json.dumps({"verdict": "passed", "tolerance": parity.TOLERANCE}),
        "versions": json.dumps(_versions()),
        "weights_sha256": _weights_digest(model),
    }


def _versions():
    packages = ("keras", "numpy", "onnx", "onnxslim", "tensorflow", "tf2onnx")
    return {"keras-capsules": keras_capsules.__version__} | versions(packages)


def _weights_digest(model):
    digest = hashlib.sha256()
    for variable in model.weights:
        array = np.ascontiguousarray(keras.ops.convert_to_numpy(variable))
        digest.update(f"{array.shape}{array.dtype}".encode())
        digest.update(array.tobytes())
    return digest.hexdigest()


def _facts(file, content):
    return {
        "bytes": len(content),
        "sha256": hashlib.sha256(content).hexdigest(),
        "opset": file.opset_import[0].version,
        "ir_version": file.ir_version,
        "nodes": len(file.graph.node),
        "operations": dict(sorted(Counter(node.op_type for node in file.graph.node).items())),
        "inputs": [_signature(value) for value in file.graph.input],
        "outputs": [_signature(value) for value in file.graph.output],
    }


def _signature(value):
    sizes = [dim.dim_param or str(dim.dim_value) for dim in value.type.tensor_type.shape.dim]
    return f"{value.name} ({', '.join(sizes)})"
