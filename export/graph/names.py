"""Names the nodes of a graph after the Keras layers that they come from."""

import itertools
import re

import onnx


def name_after_layers(graph, nodes, kept, layer_names):
    """Renames nodes after layers, values after nodes, and weights after the inputs that use them.

    Returns a dictionary of the new name of each value by its old name.
    """
    weights = {tensor.name for tensor in graph.initializer}
    scopes, values = {}, {name: name for name in kept} | {"": ""}
    taken = set(kept)
    for node in nodes:
        scope = _scope(node, weights, scopes, layer_names)
        scopes.update(dict.fromkeys(node.output, scope))
        plain = name = "/".join([*scope, node.op_type.lower()])
        number = itertools.count(2)
        while name in taken:
            name = f"{plain}_{next(number)}"
        taken.add(name)
        roles = onnx.defs.get_schema(node.op_type).inputs
        for index, value in enumerate(node.input):
            role = roles[min(index, len(roles) - 1)].name
            suffix = f"_{index}" if index >= len(roles) else ""
            values.setdefault(value, f"{name}/{role}{suffix}")
        for index, value in enumerate(node.output):
            values.setdefault(value, name if index == 0 else f"{name}:{index}")
        node.name = name
        node.doc_string = ""
        node.input[:] = [values[value] for value in node.input]
        node.output[:] = [values[value] for value in node.output]
        attributes = sorted(node.attribute, key=lambda attribute: attribute.name)
        node.ClearField("attribute")
        node.attribute.extend(attributes)
    for tensor in graph.initializer:
        tensor.name = values.get(tensor.name, tensor.name)
    return values


def _scope(node, weights, scopes, layer_names):
    """Returns the names of the layers around a node, outermost first, without the model's.

    A node that an optimizer made has no such names, and takes those of its weights or its input.
    """
    sources = [node.name, *(value for value in node.input if value in weights)]
    for source in sources:
        if "/" in source:
            parts = source.split("/")[1:-1]
            return [name for part in parts if (name := _layer_name(part, layer_names))]
    return next((scopes[value] for value in node.input if value in scopes), [])


def _layer_name(part, layer_names):
    """Removes the numbers of a layer's name scope, or returns `None` for another scope.

    TensorFlow numbers the scope of every layer, `dense` to `dense_1` and `dense_1` to `dense_1_1`.
    """
    for candidate in (re.sub(r"_\d+$", "", part), part):
        if candidate in layer_names or re.fullmatch(r"routing_\d+", candidate):
            return candidate
    return None
