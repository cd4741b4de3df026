"""Describes a file by the properties stored in it and by its facts for the report."""

import hashlib
import json
from collections import Counter
from dataclasses import asdict

import keras
import numpy as np
import onnx

from export.options import ExportOptions
from export.results import FileFacts
from export.task import task_of


def properties(
    model: keras.Model,
    options: ExportOptions,
    versions: dict[str, str],
    tolerance: dict[str, float],
) -> dict[str, str]:
    """Returns the properties to store, none of which depends on day, machine or backend."""
    labels = None if options.labels is None else [str(label) for label in options.labels]
    input_range = (0, 255) if options.preprocess else options.limits
    task = task_of(model, options)
    stored = {} if task.kind == "classes" else {"task": json.dumps(asdict(task))}
    return stored | {
        "class_names": json.dumps(labels) if labels is not None else "",
        "input_range": json.dumps([float(limit) for limit in input_range]),
        "preprocessing": json.dumps(options.preprocessing),
        "verification": json.dumps({"verdict": "passed", "tolerance": tolerance}),
        "versions": json.dumps(versions),
        "weights_sha256": _weights_digest(model),
    }


def facts(file: onnx.ModelProto, content: bytes) -> FileFacts:
    """Returns the facts of a file and its bytes."""
    return FileFacts(
        bytes=len(content),
        sha256=hashlib.sha256(content).hexdigest(),
        opset=file.opset_import[0].version,
        ir_version=file.ir_version,
        nodes=len(file.graph.node),
        operations=dict(sorted(Counter(node.op_type for node in file.graph.node).items())),
        inputs=[_signature(value) for value in file.graph.input],
        outputs=[_signature(value) for value in file.graph.output],
    )


def _weights_digest(model):
    digest = hashlib.sha256()
    for variable in model.weights:
        array = np.ascontiguousarray(keras.ops.convert_to_numpy(variable))
        digest.update(f"{array.shape}{array.dtype}".encode())
        digest.update(array.tobytes())
    return digest.hexdigest()


def _signature(value):
    sizes = [dim.dim_param or str(dim.dim_value) for dim in value.type.tensor_type.shape.dim]
    return f"{value.name} ({', '.join(sizes)})"
