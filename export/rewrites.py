"""Graphs rewritten to what runs faster, or on more devices, and computes the same."""

import numpy as np
from onnx import helper, numpy_helper


def rewrite(graph) -> None:
    """Applies all rewrites to a graph whose constants are initializers."""
    _reciprocals_to_divisions(graph)
    _sums_before_transposes(graph)


def _reciprocals_to_divisions(graph):
    """Replaces 1/x by a division: Core ML adds 1e-4 to the denominator of a Reciprocal."""
    for index, node in enumerate(graph.node):
        if node.op_type == "Reciprocal":
            one = f"{node.name}/one"
            graph.initializer.append(numpy_helper.from_array(np.float32(1.0), one))
            division = helper.make_node("Div", [one, *node.input], node.output, name=node.name)
            graph.node[index].CopyFrom(division)


def _sums_before_transposes(graph):
    """Lets a sum over axes of a transposed tensor read the tensor as it was before.

    Where all other readers are matrix products, onnxruntime merges the Transpose into these, and
    no longer copies the tensor: the votes of all capsules.
    """
    transposes = {node.output[0]: node for node in graph.node if node.op_type == "Transpose"}
    constants = {tensor.name: tensor for tensor in graph.initializer}
    for node in graph.node:
        if node.op_type != "ReduceSum" or node.input[0] not in transposes:
            continue
        drops_axes = any(a.name == "keepdims" and a.i == 0 for a in node.attribute)
        if not drops_axes or len(node.input) < 2 or node.input[1] not in constants:
            continue
        transpose = transposes[node.input[0]]
        order = np.array(helper.get_node_attr_value(transpose, "perm"))
        summed = order[numpy_helper.to_array(constants[node.input[1]])]
        kept = [axis for axis in order if axis not in summed]
        if kept == sorted(kept):
            axes = f"{node.output[0]}/axes_before_transpose"
            array = np.sort(summed).astype("int64")
            graph.initializer.append(numpy_helper.from_array(array, axes))
            node.input[0], node.input[1] = transpose.input[0], axes
