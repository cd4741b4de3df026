"""Operations on whole tensors: products along an axis, Einsum, slices, sorting."""

import itertools
import string

import numpy as np

from export.convert.operations.build import (
    INT64,
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
    value_of,
)


def _cumprod(graph, node, *_):
    """Multiplies by the tensor shifted by 1, 2, 4, ... along the axis: no Loop."""
    x, axis = node.input[0], int(value_of(node, 1))
    x = cast(graph, x, computable(graph, x))
    if node.get_attr_value("exclusive") or node.get_attr_value("reverse"):
        raise CannotConvertError(
            "A product along an axis can only be inclusive and forward",
            "Flip or shift the axis with keras.ops",
        )
    shape = graph.get_shape(x)
    size, rank = shape[axis], len(shape)
    if size < 0:
        raise CannotConvertError(
            "A product along an axis needs the size of the axis", "Give the size to keras.Input"
        )
    one = like(graph, x, 1)
    for shift in itertools.takewhile(lambda shift: shift < size, (2**i for i in range(32))):
        bounds = [constant(graph, [bound], "int64") for bound in (0, size - shift, axis)]
        kept = add(graph, "Slice", [x, *bounds])
        before = np.zeros(2 * rank, "int64")
        before[axis % rank] = shift
        shifted = add(graph, "Pad", [kept, constant(graph, before, "int64"), one])
        x = add(graph, "Mul", [x, shifted])
    replace_by_cast(graph, node, x)


def _cross(graph, node, *_):
    """Takes the products of the other two components of vectors."""
    last = graph.get_rank(node.input[0]) - 1

    def turned(name, places):
        return add(graph, "Gather", [name, constant(graph, places, "int64")], axis=last)

    x, y = node.input
    forward = add(graph, "Mul", [turned(x, [1, 2, 0]), turned(y, [2, 0, 1])])
    backward = add(graph, "Mul", [turned(x, [2, 0, 1]), turned(y, [1, 2, 0])])
    replace(graph, node, "Sub", [forward, backward])


def _broadcast_sizes(graph, node, *_):
    """Returns the sizes that two tensors of given sizes have together."""
    first, second = (cast(graph, name, INT64) for name in node.input)
    both = add(graph, "Expand", [add(graph, "ConstantOfShape", [first]), second])
    replace_by_cast(graph, node, add(graph, "Shape", [both]))


def _einsum(graph, node, *_):
    """Writes out the axes of an ellipsis, which no optimizer understands."""
    equation = node.get_attr_str("equation")
    if "..." in equation:
        shapes = [graph.get_shape(name) for name in node.input]
        node.set_attr("equation", without_ellipsis(equation, shapes))
    by_tf2onnx(graph, node)


def without_ellipsis(equation: str, shapes: list) -> str:
    """Returns an equation of Einsum with letters in the place of each ellipsis."""
    terms, result = equation.split("->")
    terms = terms.split(",")
    free = [letter for letter in string.ascii_lowercase if letter not in equation.lower()]
    hidden = [
        shape[term.index("...") : len(shape) - len(term.partition("...")[2])]
        for term, shape in zip(terms, shapes, strict=True)
        if "..." in term
    ]
    longest = max(hidden, key=len)
    if any(axes != longest[len(longest) - len(axes) :] for axes in hidden):
        raise CannotConvertError(
            f"The axes of the ellipsis in {equation!r} must not be broadcast",
            "Repeat them with keras.ops.broadcast_to before",
        )
    letters = "".join(free[: len(longest)])
    sizes = iter(map(len, hidden))
    terms = [
        term.replace("...", letters[len(letters) - next(sizes) :]) if "..." in term else term
        for term in terms
    ]
    return ",".join(terms) + "->" + result.replace("...", letters)


def _update_slice(graph, node, *_):
    """Pads the update to the whole size, and takes it where a constant mask says so."""
    x, update, _ = node.input
    starts = value_of(node, 2)
    shape, part = graph.get_shape(x), graph.get_shape(update)
    cut = [axis for axis in range(len(shape)) if shape[axis] != part[axis]]
    if starts is None or any(min(shape[axis], part[axis]) < 0 for axis in cut):
        raise CannotConvertError(
            "An update needs a constant place, and the size of each axis it cuts",
            "Give the sizes to keras.Input, and the place as integers",
        )
    mask, pads = np.ones([1] * len(shape), bool), np.zeros((2, len(shape)), "int64")
    for axis in cut:
        start = int(np.clip(starts[axis], 0, shape[axis] - part[axis]))
        pads[:, axis] = start, shape[axis] - part[axis] - start
        place = np.arange(shape[axis])
        inside = (place >= start) & (place < start + part[axis])
        mask = mask & inside.reshape([-1] + [1] * (len(shape) - axis - 1))
    padded = add(graph, "Pad", [update, constant(graph, pads.ravel(), "int64")])
    replace(graph, node, "Where", [constant(graph, mask, "bool"), padded, x])


def _top_k(graph, node, *_):
    """Sorts integers as such. tf2onnx sorts them as floats, which merge large ones."""
    if is_float(graph, node.input[0]):
        by_tf2onnx(graph, node)
        return
    x, count = node.input
    x, number = cast(graph, x, computable(graph, x)), cast(graph, count, INT64)
    number = add(graph, "Reshape", [number, constant(graph, [1], "int64")])
    names, shapes, dtypes = node.output, node.output_shapes, node.output_dtypes
    graph.remove_node(node.name)
    sort = graph.make_node("TopK", [x, number], output_count=2, shapes=shapes)
    for name, source, shape, dtype in zip(names, sort.output, shapes, dtypes, strict=True):
        options = {"outputs": [name], "shapes": [shape], "dtypes": [dtype]}
        graph.make_node("Cast", [source], attr={"to": dtype}, **options)


HANDLERS = {
    "BroadcastArgs": (_broadcast_sizes, []),
    "Cross": (_cross, []),
    "Cumprod": (_cumprod, []),
    "Einsum": (_einsum, []),
    "TopKV2": (_top_k, []),
    "XlaDynamicUpdateSlice": (_update_slice, []),
}
