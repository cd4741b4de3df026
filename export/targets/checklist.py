"""Checks a file for points that may cause problems on devices."""

import onnx
from onnx import TensorProto

from export import runtimes
from export.graph.canonical import BATCH_AXIS
from export.graph.refused_operations import is_control_flow, is_refused
from export.results import Check
from export.targets.profiles import providers_without

_WIDE = {TensorProto.DOUBLE: "float64", TensorProto.INT64: "int64"}
_INDEX_TYPES = {"tensor(int32)", "tensor(int64)"}


def checklist(file: onnx.ModelProto, content: bytes, minimum: str | None) -> list[Check]:
    """Checks a file for devices.

    Args:
        file: The ONNX file.
        content: Bytes of the file.
        minimum: Oldest onnxruntime that must run the file, such as `"1.13"`, or `None`.
    """
    values = _values(file)
    opset, ir = file.opset_import[0].version, file.ir_version
    oldest = runtimes.oldest_for(opset, ir)
    transposes = [node.name for node in file.graph.node if node.op_type == "Transpose"]
    refused_nodes = [node for node in file.graph.node if is_refused(node)]
    refused = [node.name for node in refused_nodes]
    wide = _wide_nodes(file, values)
    weights = sum(len(onnx.numpy_helper.to_array(x).tobytes()) for x in file.graph.initializer)
    return [
        _shapes(file, values),
        Check(
            "onnxruntime",
            f"opset {opset} and IR {ir} run on onnxruntime {oldest} and later"
            + (f", {minimum} was asked for" if minimum else ""),
            minimum is None or runtimes.runs(minimum, opset, ir),
        ),
        Check(
            "operations",
            f"control flow, Einsum or custom operations: {', '.join(refused) or 'none'}"
            + "".join(
                map(
                    _cost, sorted({node.op_type for node in refused_nodes if is_control_flow(node)})
                )
            ),
            not refused,
        ),
        Check("types", f"computed in float64 or int64: {', '.join(wide) or 'nothing'}", not wide),
        Check("transposes", f"{len(transposes)} remain: {', '.join(transposes) or 'none'}"),
        Check("size", f"{len(content):,} bytes, {weights:,} of them weights"),
    ]


def _cost(operation):
    """Names the devices that an operation costs."""
    missing = ", ".join(providers_without(operation))
    return f"; without {operation}: {missing}, which leave it to the CPU" if missing else ""


def _values(file):
    """Returns the known types of values by name."""
    inferred = onnx.shape_inference.infer_shapes(file, data_prop=True).graph
    values = [*inferred.input, *inferred.value_info, *inferred.output]
    types = {value.name: value.type.tensor_type for value in values}
    for tensor in file.graph.initializer:
        known = onnx.helper.make_tensor_type_proto(tensor.data_type, tensor.dims)
        types[tensor.name] = known.tensor_type
    return types


def _shapes(file, values):
    named = {
        dim.dim_param or "?"
        for value in (*file.graph.input, *file.graph.output)
        for dim in value.type.tensor_type.shape.dim
        if not dim.HasField("dim_value")
    }
    open_axes = {
        name: sum(not dim.HasField("dim_value") for dim in type_.shape.dim)
        for name, type_ in values.items()
    }
    if not any(open_axes.values()):
        return Check("shapes", "all are static", True)
    if named == {BATCH_AXIS} and max(open_axes.values()) == 1:
        return Check("shapes", "static but for the batch axis; --batch N fixes it", True)
    others = sorted(named - {BATCH_AXIS}) or ["sizes inside"]
    advice = "some devices need fixed sizes: give keras.Input the sizes, and --batch N"
    return Check("shapes", f"open besides the batch: {', '.join(others)}; {advice}", False)


def _wide_nodes(file, values):
    """Returns the nodes with float64 or int64 values, except shapes, axes and indices."""
    wide_nodes = []
    for node in file.graph.node:
        schema = onnx.defs.get_schema(node.op_type, file.opset_import[0].version, "")
        for index, name in enumerate(node.input):
            role = schema.inputs[min(index, len(schema.inputs) - 1)]
            wide = name in values and _WIDE.get(values[name].elem_type)
            if wide and not set(role.types) <= _INDEX_TYPES:
                wide_nodes.append(f"{node.name} ({wide})")
                break
    return wide_nodes
