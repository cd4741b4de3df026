"""Rewrites graphs that then compute the same, but faster or on more devices."""

import math

import numpy as np
from onnx import helper, numpy_helper

_MANY = 1024
"""Number of values up to which onnxruntime adds them accurately enough."""


def rewrite(graph) -> None:
    """Applies all rewrites to a graph whose constants are initializers."""
    _moves_of_one_channel_to_transposes(graph)
    _reciprocals_to_divisions(graph)
    _reductions_before_transposes(graph)
    _pools_of_many_axes_to_means(graph)
    _large_reductions_axis_by_axis(graph)


def _moves_of_one_channel_to_transposes(graph):
    """Replaces what tf2onnx makes of a Transpose of one channel, if height and width are open.

    It is a Reshape to (1, batch, height, width, 1) and a Squeeze. ONNX' shape inference takes the
    zeros of such a Reshape for other axes.
    """
    small = (tensor for tensor in graph.initializer if math.prod(tensor.dims) <= 5)
    constants = {tensor.name: numpy_helper.to_array(tensor).tolist() for tensor in small}
    reshapes = {
        node.output[0]: node
        for node in graph.node
        if node.op_type == "Reshape" and constants.get(node.input[1]) == [1, -1, 0, 0, 1]
    }
    for node in graph.node:
        squeezed = node.op_type == "Squeeze" and node.input[0] in reshapes
        if squeezed and len(node.input) > 1 and constants.get(node.input[1]) == [0]:
            source = reshapes[node.input[0]]
            transpose = helper.make_node(
                "Transpose", source.input[:1], node.output, name=source.name, perm=(0, 2, 3, 1)
            )
            node.CopyFrom(transpose)


def _reciprocals_to_divisions(graph):
    """Replaces 1/x by a division: Core ML adds 1e-4 to the denominator of a Reciprocal."""
    for index, node in enumerate(graph.node):
        if node.op_type == "Reciprocal":
            one = f"{node.name}/one"
            graph.initializer.append(numpy_helper.from_array(np.array(1.0, "float32"), one))
            division = helper.make_node("Div", [one, *node.input], node.output, name=node.name)
            graph.node[index].CopyFrom(division)


def _reductions_before_transposes(graph):
    """Lets a sum or mean over axes of a transposed tensor read the original tensor.

    If all other readers are matrix products, onnxruntime merges the Transpose into these, and no
    longer copies the tensor, which has the votes of all capsules. The result of the reduction may
    need a Transpose too, but a smaller one.
    """
    transposes = {node.output[0]: node for node in graph.node if node.op_type == "Transpose"}
    for node in list(graph.node):
        if node.op_type not in ("ReduceSum", "ReduceMean") or node.input[0] not in transposes:
            continue
        axes = _dropped_axes(graph, node)
        if axes is None:
            continue
        transpose = transposes[node.input[0]]
        order = np.array(helper.get_node_attr_value(transpose, "perm"))
        summed = np.sort(order[axes])
        kept = [axis for axis in order if axis not in summed]
        node.input[0] = transpose.input[0]
        _set_axes(graph, node, summed)
        if kept != sorted(kept):
            result, node.output[0] = node.output[0], f"{node.output[0]}/before_transpose"
            perm = [sorted(kept).index(axis) for axis in kept]
            name = f"{node.name}_transpose"
            graph.node.append(
                helper.make_node("Transpose", node.output, [result], name=name, perm=perm)
            )


def _dropped_axes(graph, node):
    """Returns the axes that a reduction drops, or None if it keeps them or computes them.

    Axes are an attribute of ReduceMean before opset 18, otherwise a constant.
    """
    attributes = {attribute.name: attribute for attribute in node.attribute}
    if "keepdims" not in attributes or attributes["keepdims"].i == 1:
        return None
    return _axes(graph, node)


def _axes(graph, node):
    """Returns the axes of a reduction, or None if it computes them."""
    for attribute in node.attribute:
        if attribute.name == "axes":
            return np.array(attribute.ints)
    constants = (tensor for tensor in graph.initializer if tensor.name in node.input[1:])
    return next(map(numpy_helper.to_array, constants), None)


def _set_axes(graph, node, axes):
    for attribute in node.attribute:
        if attribute.name == "axes":
            attribute.ints[:] = axes
            return
    node.input[1] = f"{node.output[0]}/axes_before_transpose"
    graph.initializer.append(numpy_helper.from_array(axes.astype("int64"), node.input[1]))


def _pools_of_many_axes_to_means(graph):
    """Replaces a global average over more than three axes, which onnxruntime refuses."""
    ranks = {
        value.name: len(value.type.tensor_type.shape.dim)
        for value in (*graph.input, *graph.value_info)
    }
    for node in graph.node:
        rank = ranks.get(node.input[0], 0) if node.op_type == "GlobalAveragePool" else 0
        if rank > 5:
            node.op_type = "ReduceMean"  # Up to opset 17: from 18 on, tf2onnx makes no pools.
            node.attribute.append(helper.make_attribute("axes", list(range(2, rank))))


def _large_reductions_axis_by_axis(graph):
    """Adds up or averages many values along one axis after the other.

    onnxruntime adds all values of several axes to a single number, which then rounds much more than
    TensorFlow's: 16,384 values lose two digits.
    """
    shapes = {  # An open axis may be long.
        value.name: [size.dim_value or 1 + _MANY for size in value.type.tensor_type.shape.dim]
        for value in (*graph.input, *graph.value_info)
    }
    for node in list(graph.node):
        if node.op_type not in ("ReduceSum", "ReduceMean"):
            continue
        axes, shape = _axes(graph, node), shapes.get(node.input[0], [])
        if axes is None or not shape or math.prod(shape[axis] for axis in axes) <= _MANY:
            continue
        for axis in sorted(axes % len(shape))[:0:-1]:  # The last reduction drops all of them.
            part = type(node)()
            part.CopyFrom(node)
            part.name, part.output[0] = f"{node.name}_{axis}", f"{node.output[0]}/axis_{axis}"
            _set_attribute(part, "keepdims", 1)
            _set_axes(graph, part, np.array([axis]))
            node.input[0] = part.output[0]
            graph.node.append(part)


def _set_attribute(node, name, value):
    for attribute in [entry for entry in node.attribute if entry.name == name]:
        node.attribute.remove(attribute)
    node.attribute.append(helper.make_attribute(name, value))
