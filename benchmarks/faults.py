"""Plants single faults in ONNX files."""

import copy
from collections.abc import Callable, Iterator

import numpy as np
import onnx
from onnx import AttributeProto, TensorProto, numpy_helper

EPSILON = 1e-2
"""Positive constants below count as an epsilon."""

_SLOPES = {"LeakyRelu": "alpha", "Elu": "alpha", "HardSigmoid": "alpha"}
_ALIKE = (
    ("Relu", "Sigmoid", "Tanh", "Softplus"),
    ("Add", "Sub"),
    ("Max", "Min"),
    ("ReduceMean", "ReduceSum", "ReduceMax"),
    ("GlobalAveragePool", "GlobalMaxPool"),
)
_ORDERED = ("Sub", "Div", "MatMul", "Concat", "Where", "Pow")

Change = tuple[str, Callable[[np.random.Generator], None]]
"""The name of a place, and a function that changes it in the graph that it is from."""

KINDS: dict[str, Callable[[onnx.GraphProto], Iterator[Change]]] = {}
"""Functions that yield all changes of one kind that can be made to a graph."""


def planted(
    file: onnx.ModelProto, kind: str, generator: np.random.Generator
) -> Iterator[tuple[str, onnx.ModelProto]]:
    """Yields places of a file, and copies with a fault there, in a random order.

    Args:
        file: The right file.
        kind: One of `KINDS`.
        generator: Source of the order and the faults.
    """
    for index in generator.permutation(len(list(KINDS[kind](file.graph)))):
        wrong = copy.deepcopy(file)
        place, change = list(KINDS[kind](wrong.graph))[index]
        change(generator)
        yield place, wrong


def _kind(name):
    def register(changes):
        KINDS[name] = changes
        return changes

    return register


def _tensors(graph, axes=0, type_=TensorProto.FLOAT):
    """Yields the weights of so many axes at least."""
    return (x for x in graph.initializer if x.data_type == type_ and len(x.dims) >= axes)


def _array_changed(tensor, change) -> Change:
    def plant(generator):
        array = numpy_helper.to_array(tensor).copy()
        change(array, generator)
        tensor.CopyFrom(numpy_helper.from_array(array, tensor.name))

    return tensor.name, plant


def _attributes(graph, type_, *names):
    """Yields the nodes with the attributes of a type, and of these names if there are any."""
    for node in graph.node:
        for attribute in node.attribute:
            if attribute.type == type_ and (not names or attribute.name in names):
                yield node.name, attribute


def _times(factor):
    def change(array, generator):
        array *= np.float32(factor)

    return change


def _tensor_scaled(factor):
    def changes(graph):
        several = (x for x in _tensors(graph) if np.prod(x.dims) > 1)
        return (_array_changed(tensor, _times(factor)) for tensor in several)

    return changes


for _excess in ("1e-5", "1e-4", "1e-3", "1e-2"):
    KINDS[f"tensor times 1 + {_excess}"] = _tensor_scaled(1 + float(_excess))


@_kind("row zeroed")
def _rows(graph):
    def change(array, generator):
        array[generator.integers(len(array))] = 0

    return (_array_changed(x, change) for x in _tensors(graph, axes=2) if x.dims[0] > 1)


@_kind("unit zeroed")
def _units(graph):
    def change(array, generator):
        array[..., generator.integers(array.shape[-1])] = 0

    return (_array_changed(x, change) for x in _tensors(graph, axes=2) if x.dims[-1] > 1)


@_kind("element of a bias")
def _biases(graph):
    """Adds a hundredth of the largest one."""

    def change(array, generator):
        array.flat[generator.integers(array.size)] += 0.01 * (np.abs(array).max() or 1)

    flat = (x for x in _tensors(graph, axes=1) if np.prod(x.dims) == max(x.dims) > 1)
    return (_array_changed(tensor, change) for tensor in flat)


@_kind("pair of weights swapped")
def _pairs(graph):
    """Swaps two rows, columns, or channels."""

    def change(array, generator):
        axis = generator.choice([axis for axis, size in enumerate(array.shape) if size > 1])
        moved = np.moveaxis(array, axis, 0)
        pair = generator.choice(len(moved), 2, replace=False)
        moved[pair] = moved[pair[::-1]]

    return (_array_changed(x, change) for x in _tensors(graph, axes=1) if max(x.dims) > 1)


def _constants(graph):
    """Yields single numbers, and whether each is an epsilon."""
    for tensor in _tensors(graph):
        if np.prod(tensor.dims) == 1:
            yield tensor, 0 < numpy_helper.to_array(tensor).item() < EPSILON


@_kind("constant times 1.01")
def _other_constants(graph):
    return (_array_changed(x, _times(1.01)) for x, tiny in _constants(graph) if not tiny)


@_kind("epsilon times 10")
def _epsilons(graph):
    for tensor, tiny in _constants(graph):
        if tiny:
            yield _array_changed(tensor, _times(10))
    for place, attribute in _attributes(graph, AttributeProto.FLOAT, "epsilon"):
        yield place, lambda generator, x=attribute: setattr(x, "f", x.f * 10)


@_kind("slope times 1.1")
def _slopes(graph):
    def steeper(node, generator):
        name = _SLOPES[node.op_type]
        if not node.attribute:
            node.attribute.append(onnx.defs.get_schema(node.op_type).attributes[name].default_value)
        node.attribute[0].f *= 1.1

    for node in graph.node:
        if node.op_type in _SLOPES:
            yield node.name, lambda generator, x=node: steeper(x, generator)


@_kind("axis changed")
def _axes(graph):
    for place, attribute in _attributes(graph, AttributeProto.INT, "axis"):
        for step in (-1, 1):
            yield place, lambda generator, x=attribute, step=step: setattr(x, "i", x.i + step)
    for place, attribute in _attributes(graph, AttributeProto.INTS, "axes", "perm"):
        yield place, lambda generator, x=attribute: _other_axes(x.ints, generator)


def _other_axes(axes, generator):
    if len(axes) == 1:
        axes[0] -= 1
    else:
        _swap(axes, *generator.choice(len(axes), 2, replace=False).tolist())


def _swap(entries, first, second):
    entries[first], entries[second] = entries[second], entries[first]


@_kind("attribute changed")
def _other_attributes(graph):
    for place, attribute in _attributes(graph, AttributeProto.INT):
        if attribute.name not in ("axis", "hidden_size", "to"):
            yield place, lambda generator, x=attribute: setattr(x, "i", 1 - x.i if x.i < 2 else 1)
    for place, attribute in _attributes(graph, AttributeProto.INTS, "pads"):
        yield place, lambda generator, x=attribute: _shift(x.ints)
    for place, attribute in _attributes(graph, AttributeProto.STRINGS, "activations"):
        yield place, lambda generator, x=attribute: _swap(x.strings, 0, 1)


def _shift(pads):
    half = len(pads) // 2
    pads[:] = [*(size + 1 for size in pads[:half]), *(size - 1 for size in pads[half:])]


@_kind("operation changed")
def _operations(graph):
    for node in graph.node:
        for other in (name for group in _ALIKE if node.op_type in group for name in group):
            if other != node.op_type:
                yield node.name, lambda generator, x=node, y=other: setattr(x, "op_type", y)


@_kind("inputs of a node swapped")
def _inputs(graph):
    for node in graph.node:
        if node.op_type in _ORDERED:
            yield node.name, lambda generator, x=node: _swap(x.input, -2, -1)


@_kind("whole number changed")
def _numbers(graph):
    """Changes an index, a start, or a size by one."""

    def change(array, generator):
        array.flat[generator.integers(array.size)] += generator.choice([-1, 1])

    whole = (x for x in _tensors(graph, type_=TensorProto.INT64) if np.prod(x.dims) > 0)
    return (_array_changed(tensor, change) for tensor in whole)
