"""Orders the nodes of a graph, also inside of control flow."""

from collections.abc import Iterable, Iterator

import onnx


def bodies(node: onnx.NodeProto) -> list[onnx.GraphProto]:
    """Returns the graphs inside a node, such as the body of a Loop."""
    return [entry.g for entry in node.attribute if entry.type == onnx.AttributeProto.GRAPH]


def all_nodes(nodes: Iterable[onnx.NodeProto]) -> Iterator[onnx.NodeProto]:
    """Yields the nodes and those inside of them."""
    for node in nodes:
        yield node
        for body in bodies(node):
            yield from all_nodes(body.node)


def values_read(node: onnx.NodeProto) -> list[str]:
    """Returns the inputs of a node, and the values around it that the graphs inside it read."""
    names = list(node.input)
    for body in bodies(node):
        own = {value.name for value in (*body.input, *body.initializer)}
        own.update(name for inner in body.node for name in inner.output)
        names += [name for inner in body.node for name in values_read(inner) if name not in own]
    return names


def ordered_nodes(graph: onnx.GraphProto, outputs: Iterable[str]) -> list[onnx.NodeProto]:
    """Returns the nodes that outputs need: each after its inputs, in the order of the outputs."""
    producers = {name: node for node in graph.node for name in node.output if name}
    ordered, seen = [], set()
    stack = [(name, False) for name in reversed(list(outputs))]
    while stack:
        name, inputs_done = stack.pop()
        node = producers.get(name)
        if node is None or id(node) in seen:
            continue
        if inputs_done:
            seen.add(id(node))
            ordered.append(node)
        else:
            stack.append((name, True))
            stack.extend((needed, False) for needed in reversed(values_read(node)))
    return ordered
