"""Names the nodes of a reduced file as in the float32 file."""

import itertools

import onnx

from export.graph.canonical import assemble
from export.graph.order import ordered_nodes
from export.graph.refused_operations import refuse_operations


def restore_names(
    reduced: onnx.ModelProto, file: onnx.ModelProto, metadata: dict[str, str]
) -> onnx.ModelProto:
    """Gives the nodes of `reduced` their names in `file`, and added nodes similar names."""
    graph = reduced.graph
    outputs = [value.name for value in file.graph.output]
    nodes = ordered_nodes(graph, outputs)
    original = {node.name for node in file.graph.node}
    values, taken = {}, set(original)
    for node in nodes:
        node.input[:] = [values.get(name, name) for name in node.input]
        if node.name not in original:
            plain = node.name = f"{node.input[0]}/{node.op_type.lower()}"
            numbers = itertools.count(2)
            while node.name in taken:
                node.name = f"{plain}_{next(numbers)}"
            taken.add(node.name)
        for index, value in enumerate(node.output):
            if value not in outputs:
                node.output[index] = node.name if index == 0 else f"{node.name}:{index}"
                values[value] = node.output[index]
    refuse_operations(reduced)
    return assemble(reduced, nodes, file.graph.input, file.graph.output, metadata)
