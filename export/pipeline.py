"""The steps of an export in their order: read, convert, tidy, verify, write."""

import hashlib
import json
import math
import os
import tempfile
from collections import Counter
from dataclasses import asdict
from importlib.metadata import version
from pathlib import Path

import keras
import numpy as np

import keras_capsules
from export import convert, environment, golden, parity, source, tidy
from export.errors import ParityError, UsageError
from export.options import ExportOptions
from export.report import ExportReport
from export.verify import golden_path, replay
from export.write import check_target, write_together


def run(model, path, options: ExportOptions) -> ExportReport:
    """Does what `export.export_onnx` says."""
    target = Path(path)
    golden_target = golden_path(target)
    check_target(target, options.force)
    check_target(golden_target, options.force)
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
        _check_labels(model, labels)
        _check_data(model, data)
        vectors = Path(folder) / "vectors.npz"
        raw = convert.convert(saved, options.opset, modules, vectors, options.input_range)
        vectors = vectors.read_bytes()
    file = tidy.tidy(
        raw,
        dict(zip(source.input_names(model), (x.shape for x in model.inputs), strict=True)),
        dict(zip(source.output_names(model), (x.shape for x in model.outputs), strict=True)),
        source.layer_names(model),
        _metadata(model, labels, options.input_range),
    )
    content = tidy.serialize(file)
    comparisons = parity.compare(model, file, options.input_range, data)
    report = ExportReport(
        source=name,
        target=str(target),
        parameters=model.count_params(),
        backend=keras.backend.backend(),
        tolerance=parity.TOLERANCE,
        comparisons=[asdict(comparison) for comparison in comparisons],
        file=_facts(file, content),
        versions=_versions()
        | {name: version(name) for name in ("onnxruntime", keras.backend.backend())},
        latency_ms=environment.latency_ms(file, content),
        environment=environment.facts(),
    )
    if not report.passed:
        if not report.worst["error"]:
            inputs = parity.suite_inputs(model, report.worst["suite"], options.input_range, data)
            report.first_divergence = parity.first_divergence(model, file, inputs)
        raise ParityError(report.to_text(), report)
    sealed = golden.seal(vectors, report.file["sha256"])
    report.comparisons += _failures(replay(content, sealed))
    if not report.passed:
        raise ParityError(report.to_text(), report)
    check_target(target, options.force)  # The conversion took a while.
    write_together({target: content, golden_target: sealed})
    return report


def _failures(verdict):
    """Where the file differs from what the model computed in the process of its conversion."""
    return [
        asdict(
            parity.Comparison(
                output=check.output,
                suite=f"sealed, {check.suite}",
                samples=check.samples,
                max_abs=check.max_abs,
                rmse=math.nan,
                cosine=math.nan,
                scale=1.0,
                allowed=check.allowed,
                sensitivity=None,
                nan_equal=True,
                label_flips=0,
                passed=False,
            )
        )
        for check in verdict.checks
        if not check.passed
    ]


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


def _metadata(model, labels, input_range):
    """What the file says of itself, and nothing that depends on day, machine or backend."""
    return {
        "class_names": json.dumps(labels) if labels is not None else "",
        "input_range": json.dumps([float(limit) for limit in input_range]),
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
