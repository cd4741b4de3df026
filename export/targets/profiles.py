"""Lists the nodes that the execution providers of a target cannot run, and their Keras layers.

onnxruntime runs the other nodes on the CPU. The file therefore works in any case, but each change
of provider costs a copy. This list is information, and no file is refused because of it.
"""

import json
from pathlib import Path

import onnx
import onnxruntime

from export.results import Profile, ProviderProfile, UnsupportedNode

_PROVIDERS = {
    "cpu": ("CPU",),
    "web": ("WebAssembly", "WebGPU"),
    "mobile": ("CPU", "XNNPACK", "CoreML", "NNAPI"),
}

_LISTS = {"CoreML": "coreml_supported_mlprogram_ops.md", "NNAPI": "nnapi_supported_ops.md"}
"""Lists that are part of onnxruntime's Python package. The others are in operators.json."""

# Limits that the lists state in words, on the number of axes of a node's first input.
_POOLS = ("AveragePool", "GlobalAveragePool", "GlobalMaxPool", "MaxPool")
_AXES = {
    "WebGPU": dict.fromkeys(("Conv", "ConvTranspose"), (3, 4)),
    "XNNPACK": dict.fromkeys(("Conv", "ConvTranspose", *_POOLS), (4,))
    | dict.fromkeys(("Gemm", "MatMul"), (2,)),
    "CoreML": dict.fromkeys(_POOLS, (4,)) | {"Conv": (3, 4)},
    "NNAPI": dict.fromkeys(("Conv", *_POOLS), (4,)),
}
_COREML_AXES = 5
_WEBGPU_TYPES = ("FLOAT", "FLOAT16", "INT32", "UINT32", "BOOL")
_WEBGPU_ANY_TYPE = ("DequantizeLinear", "Shape")


def examine(file: onnx.ModelProto, profile: str) -> Profile:
    """Lists the nodes that a target's execution providers leave to the CPU.

    Args:
        file: The ONNX file.
        profile: One of `export.options.PROFILES`.
    """
    inferred = onnx.shape_inference.infer_shapes(file, data_prop=True).graph
    values = [*inferred.input, *inferred.value_info, *inferred.output]
    types = {value.name: value.type.tensor_type for value in values}
    return Profile(profile, [_examine(file, types, name) for name in _PROVIDERS[profile]])


def providers_without(operation: str) -> list[str]:
    """Returns the execution providers that lack an operation, of all targets."""
    names = dict.fromkeys(name for target in _PROVIDERS.values() for name in target)
    lists = {name: _operators(name)[1] for name in names}
    return [
        name
        for name, operators in lists.items()
        if operators is not None and operation not in operators
    ]


def _examine(file, types, provider):
    source, operators = _operators(provider)
    unsupported = []
    for node in file.graph.node:
        reason = None if operators is None else _reason(provider, operators, node, types)
        if reason is not None:
            layer = node.name.partition("/")[0] if "/" in node.name else None
            unsupported.append(UnsupportedNode(node.name, layer, node.op_type, reason))
    used = {node.op_type for node in file.graph.node}
    return ProviderProfile(
        provider=provider,
        source=source,
        nodes=len(file.graph.node),
        unsupported=unsupported,
        conditions={op: text for op, text in (operators or {}).items() if text and op in used},
        remark=_remark(provider, file),
    )


def _operators(provider):
    """Returns the source of a provider's list of operators, and their conditions."""
    if provider in ("CPU", "WebAssembly"):
        return "onnxruntime's CPU kernels, which run all of ONNX and ran this file", None
    if provider in _LISTS:
        # Not through the package, because onnxruntime.tools imports torch if it is installed.
        path = Path(str(onnxruntime.__file__)).parent / "tools/mobile_helpers" / _LISTS[provider]
        rows = [line.split("|") for line in path.read_text().splitlines()]
        operators = {
            row[1].removeprefix("ai.onnx:"): row[2].replace("<br/>", " ")
            for row in rows
            if len(row) == 4 and row[1].startswith("ai.onnx:")
        }
        return f"onnxruntime {onnxruntime.__version__}, {path.name}", operators
    entry = json.loads((Path(__file__).parent / "operators.json").read_text())[provider]
    return f"{entry['source']} ({entry['date']})", entry["operators"]


def _reason(provider, operators, node, types):
    """Returns why a provider cannot run a node, or None if it can."""
    if node.op_type not in operators:
        return f"{provider} has no {node.op_type}"
    first = types.get(node.input[0]) if node.input else None
    if first is None:
        return None
    axes = len(first.shape.dim)
    allowed = _AXES[provider].get(node.op_type, (axes,))
    if axes not in allowed:
        return f"{node.op_type} of {axes} axes; {provider} takes {' or '.join(map(str, allowed))}"
    if provider == "CoreML" and axes > _COREML_AXES:
        return f"{axes} axes; CoreML takes {_COREML_AXES} at most"
    if provider == "XNNPACK" and node.op_type == "Softmax":
        axis = next((entry.i for entry in node.attribute if entry.name == "axis"), -1)
        if axis not in (-1, axes - 1):
            return f"Softmax over axis {axis} of {axes}; XNNPACK takes the last"
    kind = onnx.TensorProto.DataType.Name(first.elem_type)
    if provider == "WebGPU" and kind not in _WEBGPU_TYPES and node.op_type not in _WEBGPU_ANY_TYPE:
        return f"{node.op_type} of {kind.lower()}; WebGPU computes in float and 32-bit integers"
    return None


def _remark(provider, file):
    batch = file.graph.input[0].type.tensor_type.shape.dim[0]
    if provider in _LISTS and not batch.HasField("dim_value"):
        need = "takes static shapes only" if provider == "NNAPI" else "is faster on static shapes"
        return f"{provider} {need}: export with --batch N"
    return None
