"""Names the nodes of a graph after the Keras layers that they come from."""

import itertools
import re
from collections.abc import Collection

import onnx

from export.graph.order import bodies, ordered_nodes


def name_after_layers(graph, nodes, kept, layer_names):
    """Renames nodes after layers, values after nodes, and weights after the inputs that use them.

    Returns a dictionary of the new name of each value by its old name.
    """
    weights = {tensor.name for tensor in graph.initializer}
    naming = _Naming(weights, layer_names, kept)
    for node in nodes:
        naming.name(node)
    for tensor in graph.initializer:
        tensor.name = naming.values.get(tensor.name, tensor.name)
    return naming.values


def layers_of(node: onnx.NodeProto, layer_names: Collection[str]) -> list[str]:
    """Returns the names of the layers in a converter's name, outermost first."""
    return _layers_in(node.name, layer_names)


class _Naming:
    """The names that were given.

    Args:
        weights: Names of the weights.
        layer_names: Names of the layers.
        kept: Names of values that stay.

    Attributes:
        values: New names of values by their old names.
    """

    def __init__(self, weights, layer_names, kept):
        self.weights = weights
        self.layer_names = layer_names
        self.scopes = {}
        self.values = {name: name for name in kept} | {"": ""}
        self.taken = set(kept)

    def name(self, node):
        """Renames a node and its values."""
        scope = self._scope(node)
        self.scopes.update(dict.fromkeys(node.output, scope))
        plain = name = "/".join([*scope, node.op_type.lower()])
        number = itertools.count(2)
        while name in self.taken:
            name = f"{plain}_{next(number)}"
        self.taken.add(name)
        roles = onnx.defs.get_schema(node.op_type).inputs
        for index, value in enumerate(node.input):
            role = roles[min(index, len(roles) - 1)].name
            suffix = f"_{index}" if index >= len(roles) else ""
            self.values.setdefault(value, f"{name}/{role}{suffix}")
        for index, value in enumerate(node.output):
            self.values.setdefault(value, name if index == 0 else f"{name}:{index}")
        node.name = name
        node.doc_string = ""
        node.input[:] = [self.values[value] for value in node.input]
        node.output[:] = [self.values[value] for value in node.output]
        attributes = sorted(node.attribute, key=lambda attribute: attribute.name)
        node.ClearField("attribute")
        node.attribute.extend(attributes)
        for body in bodies(node):
            self._name_body(body, name)

    def _name_body(self, body, name):
        """Renames the graph inside a node of this name, and orders its nodes."""
        nodes = ordered_nodes(body, [value.name for value in body.output])
        for index, value in enumerate(body.input):
            self.values[value.name] = f"{name}/input_{index}"
        self.weights |= {tensor.name for tensor in body.initializer}
        for node in nodes:
            self.name(node)
        for value in (*body.input, *body.initializer, *body.output):
            value.name = self.values.get(value.name, value.name)
        body.name = name
        body.doc_string = ""
        body.ClearField("value_info")
        nodes = [onnx.NodeProto.FromString(node.SerializeToString()) for node in nodes]
        body.ClearField("node")
        body.node.extend(nodes)

    def _scope(self, node):
        """Returns the names of the layers around a node, outermost first, without the model's.

        A node that an optimizer made has no such names, and takes those of its weights or its
        input.
        """
        for source in [node.name, *(value for value in node.input if value in self.weights)]:
            if "/" in source:
                return _layers_in(source, self.layer_names)
        return next((self.scopes[value] for value in node.input if value in self.scopes), [])


def _layers_in(source, layer_names):
    parts = source.split("/")[1:-1]
    return [name for part in parts if (name := _layer_name(part, layer_names))]


def _layer_name(part, layer_names):
    """Removes the numbers of a layer's name scope, or returns `None` for another scope.

    TensorFlow numbers the scope of every layer, `dense` to `dense_1` and `dense_1` to `dense_1_1`.
    """
    for candidate in (re.sub(r"_\d+$", "", part), part):
        if candidate in layer_names or re.fullmatch(r"routing_\d+", candidate):
            return candidate
    return None
