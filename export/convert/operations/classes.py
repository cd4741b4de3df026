"""Class numbers, bins and counts, by comparisons: an ONNX OneHot counts from the end below 0."""

import numpy as np

from export.convert.operations.build import (
    FLOAT,
    INT64,
    CannotConvertError,
    add,
    by_tf2onnx,
    cast,
    constant,
    replace,
    replace_by_cast,
    value_of,
)


def _one_hot(graph, node, *_):
    """Compares indices with all classes, so that those outside have no class, as in Keras."""
    indices, _, on, off = node.input
    classes, axis = value_of(node, 1), node.get_attr_int("axis")
    if classes is None:
        raise CannotConvertError(
            "The number of classes is computed", "Pass it to keras.ops.one_hot as an integer"
        )
    rank = graph.get_rank(indices)
    axis = rank if axis == -1 else axis
    numbers = np.arange(int(classes)).reshape([-1] + [1] * (rank - axis))
    same = add(
        graph, "Equal", [_with_axis(graph, indices, axis), constant(graph, numbers, "int64")]
    )
    values = value_of(node, 2), value_of(node, 3)
    if values == (1, 0):
        replace_by_cast(graph, node, same)
    else:
        replace(graph, node, "Where", [same, on, off])


def _bincount(graph, node, *_):
    """Counts with weights. tf2onnx can count without."""
    indices, size, weights = node.input
    if 0 in graph.get_shape(weights):
        by_tf2onnx(graph, node)
        return
    bounds = constant(graph, 0, "int64"), cast(graph, size, INT64), constant(graph, 1, "int64")
    numbers = add(graph, "Range", list(bounds))
    same = add(graph, "Equal", [_with_axis(graph, indices, -1), numbers])
    weight = add(graph, "Unsqueeze", [weights, constant(graph, [-1], "int64")])
    counted = add(graph, "Mul", [cast(graph, same, graph.get_dtype(weights)), weight])
    axes = constant(graph, [-2], "int64")
    replace(graph, node, "ReduceSum", [counted, axes], keepdims=0)


def _bucketize(graph, node, *_):
    """Counts the boundaries that a value reaches; NaN reaches all, as in NumPy."""
    boundaries = constant(graph, node.get_attr_value("boundaries"), "float32")
    x = cast(graph, node.input[0], FLOAT)
    _count(graph, node, boundaries, x, "Less", reverse=True)


def _search(operation, reverse):
    """Counts the sorted values below a value, or, with `reverse`, those not above it."""

    def convert(graph, node, *_):
        ordered = add(graph, "Unsqueeze", [node.input[0], constant(graph, [-2], "int64")])
        _count(graph, node, ordered, node.input[1], operation, reverse)

    return convert


def _count(graph, node, ordered, x, operation, reverse):
    """Counts `ordered < x`, or with `reverse` the entries for which `x < ordered` is false."""
    x = add(graph, "Unsqueeze", [x, constant(graph, [-1], "int64")])
    compared = add(graph, operation, [x, ordered] if reverse else [ordered, x])
    if reverse:
        compared = add(graph, "Not", [compared])
    numbers = cast(graph, compared, node.output_dtypes[0])
    replace(graph, node, "ReduceSum", [numbers, constant(graph, [-1], "int64")], keepdims=0)


def _with_axis(graph, indices, axis):
    axes = constant(graph, [axis], "int64")
    return add(graph, "Unsqueeze", [cast(graph, indices, INT64), axes])


HANDLERS = {
    "Bucketize": (_bucketize, []),
    "DenseBincount": (_bincount, []),
    "LowerBound": (_search("Less", reverse=False), []),
    "OneHot": (_one_hot, []),
    "UpperBound": (_search("Less", reverse=True), []),
}
