"""Replaces what the generator does not take by operations that compute the same."""

import numpy as np
import onnx
from onnx import helper, numpy_helper

_RECURRENT = ("GRU", "LSTM", "RNN")
_BY_DIRECTION = (1, 2, 3, 5, 6, 7)
"""Inputs of a recurrent node that have an axis for directions: weights and first states."""


def rewrite_for_generator(file: onnx.ModelProto) -> None:
    """Applies all rewrites to a graph of fixed sizes."""
    graph = _Graph(file)
    nodes = [new for node in file.graph.node for new in graph.rewritten(node)]
    del file.graph.node[:]
    file.graph.node.extend(nodes)


class _Graph:
    """The graph, with its constants and shapes by name."""

    def __init__(self, file):
        self._weights = file.graph.initializer
        self._constants = {x.name: numpy_helper.to_array(x) for x in self._weights}
        graph = onnx.shape_inference.infer_shapes(file, data_prop=True).graph
        self._shapes = {
            value.name: [axis.dim_value for axis in value.type.tensor_type.shape.dim]
            for value in (*graph.input, *graph.value_info, *graph.output)
        }

    def rewritten(self, node):
        """Returns the nodes that replace a node."""
        if node.op_type == "Slice":
            return [self._backwards_by_gather(node)]
        if node.op_type == "Resize":
            return [_without_region(node)]
        if node.op_type in _RECURRENT:
            return self._one_direction_each(node)
        return [node]

    def _backwards_by_gather(self, node):
        """Turns a Slice that reverses an axis into a Gather."""
        given = [self._constants[name] for name in node.input[1:] if name in self._constants]
        if len(given) < 4 or any(values.size != 1 for values in given):
            return node
        start, end, axis, step = (int(values.flat[0]) for values in given)
        size = self._shapes[node.input[0]][axis]
        if step > 0:
            return node
        chosen = range(size)[slice(start, None if end < -size else end, step)]
        return self._gather(node.input[0], node.output[0], list(chosen), axis)

    def _one_direction_each(self, node):
        """Returns a recurrent node for each direction: the generator takes them forwards only."""
        settings = {entry.name: helper.get_attribute_value(entry) for entry in node.attribute}
        direction = settings.pop("direction", b"forward")
        known = all(
            not node.input[i] or node.input[i] in self._constants for i in self._split(node)
        )
        if direction == b"forward":
            return [_recurrent(node, node.input, node.output, settings)]
        if direction != b"bidirectional" or not known or any(node.input[4:5]):
            return [node]
        ways = [self._direction(node, index, settings) for index in (0, 1)]
        ends = zip(node.output, zip(*(ends for _, ends in ways), strict=True), strict=True)
        joined = [
            helper.make_node("Concat", parts, [output], name=output, axis=0 if place else 1)
            for place, (output, parts) in enumerate(ends)
            if output
        ]
        return [*ways[0][0], *ways[1][0], *joined]

    def _direction(self, node, index, settings):
        """Returns the nodes of one direction, and their values for all steps and for the last."""
        name = f"{node.name}/{'backwards' if index else 'forwards'}"
        inputs, nodes = list(node.input), []
        steps, *last = (
            f"{name}/{place}" for place in ("steps", "last", "cell")[: len(node.output)]
        )
        for place in self._split(node):
            if inputs[place]:
                half = self._constants[inputs[place]][index : index + 1]
                inputs[place] = self._constant(f"{name}/{place}", half)
        if "activations" in settings:
            half = len(settings["activations"]) // 2
            chosen = settings["activations"][index * half :][:half]
            settings = settings | {"activations": chosen}
        turned = list(range(self._shapes[node.input[0]][0]))[::-1]
        if index:
            nodes.append(self._gather(inputs[0], f"{name}/input", turned, axis=0))
            inputs[0] = f"{name}/input"
        nodes.append(_recurrent(node, inputs, [steps, *last], settings))
        if index:
            nodes.append(self._gather(steps, f"{name}/output", turned, axis=0))
            steps = f"{name}/output"
        return nodes, (steps, *last)

    def _split(self, node):
        return [place for place in _BY_DIRECTION if place < len(node.input)]

    def _gather(self, source, output, indices, axis):
        chosen = self._constant(f"{output}/indices", np.array(indices, "int64"))
        return helper.make_node("Gather", [source, chosen], [output], name=output, axis=axis)

    def _constant(self, name, array):
        self._weights.append(numpy_helper.from_array(np.ascontiguousarray(array), name))
        return name


def _without_region(node):
    """Leaves out the region of a Resize, which only one way to place it reads."""
    settings = {entry.name: helper.get_attribute_value(entry) for entry in node.attribute}
    if settings.get("coordinate_transformation_mode") != b"tf_crop_and_resize":
        node.input[1] = ""
    return node


def _recurrent(node, inputs, outputs, settings):
    name = outputs[0] or outputs[1]
    return helper.make_node(node.op_type, inputs, outputs, name=name, **settings)
