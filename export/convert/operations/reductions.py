"""Sums, products and extremes: over segments, and of dtypes that onnxruntime lacks."""

import numpy as np

from export.convert.operations.build import (
    INT64,
    CannotConvertError,
    add,
    by_tf2onnx,
    cast,
    computable,
    constant,
    like,
    reduced,
    replace_by_cast,
)


def _widened(graph, node, *_):
    """Computes in a dtype that onnxruntime has, and casts back."""
    own, wide = graph.get_dtype(node.input[0]), computable(graph, node.input[0])
    if own != wide:
        graph.insert_new_node_on_input(node, "Cast", node.input[0], to=wide)
        if node.output_dtypes[0] == own:
            graph.set_dtype(node.output[0], wide)
            graph.insert_new_node_on_output("Cast", node.output[0], to=own)
    by_tf2onnx(graph, node)


def _segments(reduction, ordered):
    """Reduces the entries of each segment, with something neutral in the place of the others."""

    def convert(graph, node, *_):
        x, segments = node.input[0], cast(graph, node.input[1], INT64)
        if graph.get_rank(segments) != 1:
            raise CannotConvertError(
                "Segments need a single axis", "Reshape the data and the segments before"
            )
        x = cast(graph, x, computable(graph, x))
        one = constant(graph, 1, "int64")
        if ordered:
            count = add(graph, "Add", [reduced(graph, "ReduceMax", segments, 0), one])
        else:
            count = cast(graph, node.input[2], INT64)
        numbers = add(graph, "Range", [constant(graph, 0, "int64"), count, one])
        column = add(graph, "Unsqueeze", [segments, constant(graph, [1], "int64")])
        within = add(graph, "Equal", [column, numbers])
        axes = constant(graph, np.arange(2, graph.get_rank(x) + 1), "int64")
        within = add(graph, "Unsqueeze", [within, axes])
        entries = add(graph, "Unsqueeze", [x, constant(graph, [1], "int64")])
        chosen = add(graph, "Where", [within, entries, _neutral(graph, x, reduction)])
        result = reduced(graph, f"Reduce{reduction}", chosen, 0)
        if ordered and reduction in ("Max", "Min"):
            entries = reduced(graph, "ReduceSum", cast(graph, within, INT64), 0)
            empty = add(graph, "Equal", [entries, constant(graph, 0, "int64")])
            result = add(graph, "Where", [empty, like(graph, result, 0), result])
        replace_by_cast(graph, node, result)

    return convert


def _neutral(graph, name, reduction):
    """Returns what changes nothing in a reduction, and is what TensorFlow gives for no entry."""
    from tf2onnx import utils

    dtype = np.dtype(utils.map_onnx_to_numpy_type(graph.get_dtype(name)))
    ends = np.finfo(dtype) if dtype.kind == "f" else np.iinfo(dtype)
    return like(graph, name, {"Sum": 0, "Prod": 1, "Max": ends.min, "Min": ends.max}[reduction])


_KINDS = ("Sum", "Prod", "Max", "Min")
HANDLERS = {
    **{name: (_widened, []) for name in (*_KINDS, "ArgMax", "ArgMin", "Cumsum", "Mean")},
    **{f"Segment{kind}": (_segments(kind, ordered=True), []) for kind in _KINDS},
    **{f"UnsortedSegment{kind}": (_segments(kind, ordered=False), []) for kind in _KINDS},
}
