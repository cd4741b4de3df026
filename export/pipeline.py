"""The steps of an export in their order: read, convert, tidy, verify, write."""

import hashlib
import json
import os
import tempfile
from collections import Counter
from dataclasses import asdict
from importlib.metadata import version
from pathlib import Path

import keras
import numpy as np

import keras_capsules
from export import convert, edge, ort_format, parity, preprocess, profiles, source, tidy
from export.errors import ParityError, UsageError
from export.options import ExportOptions
from export.report import ExportReport
from export.write import check_target, write_together


def run(model, path, options: ExportOptions) -> ExportReport:
    """Does what `export.export_onnx` says."""
    target = Path(path)
    targets = [target, *(ort_format.paths(target) if options.ort else ())]
    for path in targets:
        check_target(path, options.force)
    labels = None if options.labels is None else [str(label) for label in options.labels]
    data = options.data and {name: np.asarray(array) for name, array in options.data.items()}
    if not isinstance(model, (keras.Model, str, os.PathLike)):
        raise UsageError(
            f"Pass a keras.Model or the path of a .keras file. Received: {type(model).__name__}"
        )
    if not isinstance(model, keras.Model) and Path(model).resolve() == target.resolve():
        raise UsageError(f"{target} is the model itself. Pass another path for the ONNX file.")
    with tempfile.TemporaryDirectory() as folder:
        if isinstance(model, keras.Model):
            name, saved = model.name, Path(folder) / "model.keras"
            source.check_exportable(model)
            model.save(saved)
            modules = source.custom_modules(saved)
        else:
            name, saved = str(model), Path(model)
            modules = source.custom_modules(saved)
            model = source.load_model(saved)
            source.check_exportable(model)
        if options.preprocess:
            saved = preprocess.bake(saved, Path(folder), options)
            model = source.load_model(saved)
        _check_labels(model, labels)
        _check_data(model, data)
        raw = convert.convert(saved, options.opset, modules, options.batch)
    shapes = [
        {
            name: (options.batch, *tensor.shape[1:])
            for name, tensor in zip(names, tensors, strict=True)
        }
        for names, tensors in (
            (source.input_names(model), model.inputs),
            (source.output_names(model), model.outputs),
        )
    ]
    file = tidy.tidy(
        raw,
        *shapes,
        source.layer_names(model),
        _metadata(model, labels, options),
    )
    content = tidy.serialize(file)
    comparisons = parity.compare(model, file, options.input_range, data, batch=options.batch)
    report = ExportReport(
        source=name,
        target=str(target),
        parameters=model.count_params(),
        backend=keras.backend.backend(),
        tolerance=parity.TOLERANCE,
        comparisons=[asdict(comparison) for comparison in comparisons],
        file=_facts(file, content),
        versions=_versions() | {"onnxruntime": version("onnxruntime")},
        edge=edge.checklist(file, content, options.min_onnxruntime),
        profile=options.profile and profiles.examine(file, options.profile),
    )
    if not report.passed:
        if not report.worst["error"]:
            inputs = parity.suite_inputs(
                model, report.worst["suite"], options.input_range, data, options.batch
            )
            report.first_divergence = parity.first_divergence(model, file, inputs)
        raise ParityError(report.to_text(), report)
    contents = [content]
    if options.ort:
        contents += ort_format.convert(content, target)
        suites = parity.suites(model, options.input_range, data, options.batch)
        report.ort = ort_format.verify(model, *contents[:2], suites)
    for path in targets:
        check_target(path, options.force)  # The conversion took a while.
    write_together(dict(zip(targets, contents, strict=True)))
    return report


def _check_labels(model, labels):
    names = source.output_names(model)
    scored = names.index("scores") if "scores" in names else 0  # As export.device looks for them.
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
    return {"keras-capsules": keras_capsules.__version__} | {
        name: version(name) for name in packages
    }


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
