"""Operations on whole tensors: products along an axis, Einsum, slices, sorting."""

import itertools
import string

import numpy as np

from export.convert.operations.build import (
    add,
    by_tf2onnx,
    constant,
    like,
    replace,
    value_of,
)


def _cumprod(graph, node, *_):
    """Multiplies by the tensor shifted by 1, 2, 4, ... along the axis: no Loop."""
    x, axis = node.input[0], int(value_of(node, 1))
    if node.get_attr_value("exclusive") or node.get_attr_value("reverse"):
        raise ValueError("A product along an axis can only be inclusive and forward")
    shape = graph.get_shape(x)
    size, rank = shape[axis], len(shape)
    if size < 0:
        raise ValueError("A product along an axis needs the size of the axis")
    one = like(graph, x, 1)
    for shift in itertools.takewhile(lambda shift: shift < size, (2**i for i in range(32))):
        bounds = [constant(graph, [bound], "int64") for bound in (0, size - shift, axis)]
        kept = add(graph, "Slice", [x, *bounds])
        before = np.zeros(2 * rank, "int64")
        before[axis % rank] = shift
        shifted = add(graph, "Pad", [kept, constant(graph, before, "int64"), one])
        x = add(graph, "Mul", [x, shifted])
    replace(graph, node, "Identity", [x])


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
        raise ValueError(f"The axes of the ellipsis in {equation!r} must not be broadcast")
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
        raise ValueError("An update needs a constant place, and the size of each axis it cuts")
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
    int32, int64 = 6, 7
    if graph.get_dtype(node.input[0]) not in (int32, int64):
        by_tf2onnx(graph, node)
        return
    x, count = node.input
    number = add(graph, "Cast", [count], to=int64)
    number = add(graph, "Reshape", [number, constant(graph, [1], "int64")])
    (values, places), shapes, dtypes = node.output, node.output_shapes, node.output_dtypes
    graph.remove_node(node.name)
    sort = graph.make_node("TopK", [x, number], output_count=2, shapes=shapes)
    for name, source, shape, dtype in zip(
        (values, places), sort.output, shapes, dtypes, strict=True
    ):
        options = {"outputs": [name], "shapes": [shape], "dtypes": [dtype]}
        graph.make_node("Cast", [source], attr={"to": dtype}, **options)


HANDLERS = {
    "Cumprod": (_cumprod, []),
    "Einsum": (_einsum, []),
    "TopKV2": (_top_k, []),
    "XlaDynamicUpdateSlice": (_update_slice, []),
}
