"""Prepares a graph for C: fixed sizes, and names that a comment in C may hold."""

import math
import re
from collections.abc import Mapping

import onnx
import onnxslim

from export.c.rewrites import rewrite_for_generator

_UNSAFE = re.compile(r"[^\w./:-]", re.ASCII)
_WINDOW = ("Conv", "ConvTranspose")


def fixed(file: onnx.ModelProto, sizes: Mapping[str, int]) -> onnx.ModelProto:
    """Returns a copy of a file with fixed sizes, and the inferred shapes of all values.

    Args:
        file: The file.
        sizes: Sizes of the open axes by name.
    """
    graph_file = onnx.ModelProto()
    graph_file.CopyFrom(file)
    graph = graph_file.graph
    del graph_file.metadata_props[:]  # They are in the program, and not only in its comments.
    del graph.value_info[:]
    for value in (*graph.input, *graph.output):
        for axis in value.type.tensor_type.shape.dim:
            if axis.dim_param in sizes:
                axis.dim_value = sizes[axis.dim_param]
    for node in graph.node:
        node.name = _UNSAFE.sub("_", node.name)
    graph_file = onnxslim.slim(graph_file)  # Sizes that follow from the batch are constants now.
    rewrite_for_generator(graph_file)
    return onnx.shape_inference.infer_shapes(graph_file, data_prop=True)


def multiply_adds(file: onnx.ModelProto) -> int:
    """Returns the multiplications with addition of one run: convolutions and products.

    Args:
        file: Result of `fixed`.
    """
    graph = file.graph
    shapes = {tensor.name: tuple(tensor.dims) for tensor in graph.initializer}
    for value in (*graph.input, *graph.value_info, *graph.output):
        shapes[value.name] = tuple(axis.dim_value for axis in value.type.tensor_type.shape.dim)
    return sum(_of_node(node, shapes) for node in graph.node)


def _of_node(node, shapes):
    if node.op_type in _WINDOW:
        kernel = shapes[node.input[1]]
        ends = node.output if node.op_type == "Conv" else node.input
        return math.prod(shapes[ends[0]]) * math.prod(kernel[1:])
    if node.op_type in ("MatMul", "Gemm"):
        first = shapes[node.input[0]]
        turned = any(entry.name == "transA" and entry.i for entry in node.attribute)
        return math.prod(shapes[node.output[0]]) * first[0 if turned else -1]
    return 0
