"""Reads untrusted ONNX files, which must be complete and have the declared contents.

`export.graph.refused_operations` decides which operations a file may hold.
"""

from collections.abc import Iterator
from pathlib import Path

import onnx
from onnx import numpy_helper

from export.errors import RefusedInputError, UsageError

_MAX_BYTES = 2 << 30  # Protobuf's own limit.


def load(path: Path) -> onnx.ModelProto:
    """Loads an ONNX file without reading any other file.

    Raises:
        UsageError: If there is no such file.
        RefusedInputError: If the file is damaged, stores weights sparsely or in other files,
            defines custom operations, or has fewer weights than their shape says.
    """
    if not path.is_file():
        raise UsageError(f"There is no file {path}. Pass the path of an ONNX file.")
    if path.stat().st_size > _MAX_BYTES:
        raise RefusedInputError(f"{path} is larger than the 2 GiB that an ONNX file may have.")
    try:
        # With a name, the format would depend on the suffix.
        model = onnx.load(path, format="protobuf", load_external_data=False)
    except Exception as error:  # The type of onnx's error depends on the damage.
        raise RefusedInputError(
            f"{path} is damaged, or not an ONNX file. Export the model again. onnx says: {error}"
        ) from error
    fault = next(_faults(model), None)
    if fault is not None:
        raise RefusedInputError(f"{path} {fault}. Export the model again, with export.to_onnx.")
    return model


def _faults(model) -> Iterator[str]:
    """Yields the faults of a model, worst first."""
    if not model.HasField("graph"):
        yield "has no graph"
    if model.functions:
        yield f"defines custom operations: {[function.name for function in model.functions]}"
    if model.training_info:
        yield "has a training graph"
    graphs = [model.graph]
    while graphs:
        graph = graphs.pop()
        attributes = [attribute for node in graph.node for attribute in node.attribute]
        tensors = [*graph.initializer]
        for attribute in attributes:
            graphs += [attribute.g] if attribute.HasField("g") else []
            graphs += attribute.graphs
            tensors += [attribute.t] if attribute.HasField("t") else []
            tensors += attribute.tensors
            if attribute.HasField("sparse_tensor") or attribute.sparse_tensors:
                yield f"has a sparse constant, {attribute.name!r}"
        for sparse in graph.sparse_initializer:
            yield f"has sparse weights, {sparse.values.name!r}"
        yield from (fault for tensor in tensors for fault in _faults_of_tensor(tensor))


def _faults_of_tensor(tensor):
    if tensor.external_data or tensor.data_location == onnx.TensorProto.EXTERNAL:
        yield f"stores the weights {tensor.name!r} in another file"
    elif min(tensor.dims, default=0) < 0:
        yield f"has weights {tensor.name!r} of shape {list(tensor.dims)}"
    else:
        try:
            numpy_helper.to_array(tensor)  # Reads the data, then reshapes them.
        except Exception as error:  # About the type or the number of bytes.
            yield f"has weights {tensor.name!r} that contradict their shape and type ({error})"
