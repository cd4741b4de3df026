"""Element-wise functions that ONNX has under other names, or builds of several operations."""

import numpy as np

from export.convert.operations.build import (
    BOOL,
    CannotConvertError,
    add,
    by_tf2onnx,
    cast,
    computable,
    constant,
    is_float,
    like,
    replace,
    replace_by_cast,
)


def _erfc(graph, node, *_):
    erf = add(graph, "Erf", node.input)
    replace(graph, node, "Sub", [like(graph, erf, 1), erf])


def _expm1(graph, node, *_):
    """expm1(x) = tanh(x / 2) (exp(x) + 1), which is exact to rounding near 0 too."""
    (x,) = node.input
    tanh = add(graph, "Tanh", [add(graph, "Mul", [x, like(graph, x, 0.5)])])
    above = add(graph, "Add", [add(graph, "Exp", [x]), like(graph, x, 1)])
    replace(graph, node, "Mul", [tanh, above])


def _log1p(graph, node, *_):
    """log1p(x) = log(1 + x); near 0, 2 artanh(x / (x + 2)), which is exact to rounding."""
    (x,) = node.input
    near = add(graph, "Less", [add(graph, "Abs", [x]), like(graph, x, 0.5)])
    ratio = add(graph, "Div", [x, add(graph, "Add", [x, like(graph, x, 2)])])
    exact = add(graph, "Mul", [add(graph, "Atanh", [ratio]), like(graph, x, 2)])
    log = add(graph, "Log", [add(graph, "Add", [x, like(graph, x, 1)])])
    replace(graph, node, "Where", [near, exact, log])


def _large(graph, node):
    """Returns the inputs of a node as integers of a size that each onnxruntime computes."""
    return [cast(graph, name, computable(graph, name)) for name in node.input]


def _arithmetic(operation):
    def convert(graph, node, *_):
        x = node.input[0]
        if is_float(graph, x) or graph.get_dtype(x) == computable(graph, x):
            by_tf2onnx(graph, node)
        else:
            replace_by_cast(graph, node, add(graph, operation, _large(graph, node)))

    return convert


def _floor_mod(graph, node, *_):
    """tf2onnx rounds the quotient of integers towards zero."""
    if is_float(graph, node.input[0]):
        by_tf2onnx(graph, node)
    else:
        replace(graph, node, "Mod", node.input)


def _floor_div(graph, node, *_):
    """tf2onnx rounds the quotient of integers towards zero."""
    if is_float(graph, node.input[0]):
        by_tf2onnx(graph, node)
    else:
        x, y = _large(graph, node)
        multiple = add(graph, "Sub", [x, add(graph, "Mod", [x, y])])
        replace_by_cast(graph, node, add(graph, "Div", [multiple, y]))


def _bitwise(operation):
    def convert(graph, node, *_):
        if graph.opset < 18:
            raise CannotConvertError(
                "ONNX has operations on bits from opset 18 on",
                "Export with --opset 18 (in Python: opset=18)",
            )
        replace(graph, node, operation, node.input)

    return convert


def _select(graph, node, *_):
    """Chooses. tf2onnx multiplies by 0 and 1, and infinity times 0 is not a number."""
    condition, x, y = node.input
    rank = graph.get_rank(x)
    if node.type == "Select" and graph.get_rank(condition) == 1 and rank > 1:
        axes = constant(graph, np.arange(1, rank), "int64")
        condition = add(graph, "Unsqueeze", [condition, axes])
    dtype = computable(graph, x)
    chosen = add(graph, "Where", [condition, cast(graph, x, dtype), cast(graph, y, dtype)])
    replace_by_cast(graph, node, chosen)


def _cast(graph, node, *_):
    """Compares with 0 for a truth value. Casts that follow one another become a single one."""
    (x,) = node.input
    if graph.get_dtype(node.output[0]) == BOOL and graph.get_dtype(x) != BOOL:
        replace(graph, node, "Not", [add(graph, "Equal", [x, like(graph, x, 0)])])
    else:
        by_tf2onnx(graph, node)


HANDLERS = {
    "AddV2": (_arithmetic("Add"), []),
    "BitwiseAnd": (_bitwise("BitwiseAnd"), []),
    "BitwiseOr": (_bitwise("BitwiseOr"), []),
    "BitwiseXor": (_bitwise("BitwiseXor"), []),
    "Cast": (_cast, []),
    "Erfc": (_erfc, []),
    "Expm1": (_expm1, []),
    "FloorDiv": (_floor_div, []),
    "FloorMod": (_floor_mod, []),
    "Invert": (_bitwise("BitwiseNot"), []),
    "Log1p": (_log1p, []),
    "Mul": (_arithmetic("Mul"), []),
    "Select": (_select, []),
    "SelectV2": (_select, []),
    "Sub": (_arithmetic("Sub"), []),
}
