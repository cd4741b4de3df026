"""Turns the graph of a file into C99, through emx-onnx-cgen."""

import re
from importlib import metadata

import onnx

from export.c.memory import in_static_memory
from export.errors import UnsupportedOperationError, UsageError

GENERATOR = "emx-onnx-cgen"


def generator_version() -> str:
    """Returns the name and the version of the generator.

    Raises:
        UsageError: If it is not installed.
    """
    try:
        return f"{GENERATOR} {metadata.version(GENERATOR)}"
    except metadata.PackageNotFoundError:
        raise UsageError(
            f"C needs the package {GENERATOR}. Install it with `pip install 'keras-capsules[c]'`."
        ) from None


def to_source(file: onnx.ModelProto, function: str) -> str:
    """Returns C99 of a graph with fixed sizes, one function with constant weights.

    Args:
        file: The file.
        function: Name of the function.

    Raises:
        UnsupportedOperationError: If the generator cannot take an operation.
    """
    from emx_onnx_cgen.compiler import Compiler, CompilerOptions
    from emx_onnx_cgen.errors import CompilerError

    options = CompilerOptions(
        model_name=function, large_weight_threshold=0, large_temp_threshold_bytes=0
    )
    try:
        source = Compiler(options).compile(file)
    except (CompilerError, ValueError, NotImplementedError) as error:
        raise UnsupportedOperationError(_message(file, str(error))) from error
    return in_static_memory(_private(source, function), function)


def _private(source, function):
    """Makes the weights static, so that programs can have several networks.

    The function that would load them from a file is left out.
    """
    source = re.sub(r"^extern const .*\n", "", source, flags=re.M)
    source = re.sub(rf"^_Bool {function}_load\(.*?^}}\n", "", source, flags=re.M | re.S)
    return source.replace("\nconst EMX_UNUSED ", "\nstatic const EMX_UNUSED ")


def _message(file, error):
    node = _node_of(file, error)
    where = ""
    if node is not None:
        layer = node.name.partition("/")[0]
        where = f" {node.op_type} in the layer {layer!r}, node {node.name!r}"
    reason = error.partition("\n")[0].partition(" (while lowering")[0]
    return (
        f"{GENERATOR} cannot turn the model into C: it does not take the operation{where}. "
        "Replace the layer by one of convolutions, matrix products, reductions and element-wise "
        f"operations, or export without --c. ({reason})"
    )


def _node_of(file, error):
    """Returns the node that a message of the generator names, or is about."""
    name = re.search(r"while lowering.*?\bname=([^,]+),", error)
    tensor = re.search(r"tensor '([^']+)'", error)
    kind = re.search(r"Unsupported op (?:[\w.]+\.)?(\w+)", error)
    for node in file.graph.node:
        by_name = name and node.name == name[1]
        by_tensor = tensor and tensor[1] in node.output
        if by_name or by_tensor or (kind and node.op_type == kind[1]):
            return node
    return None
