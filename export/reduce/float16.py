"""Makes a float16 file from a float32 file."""

import copy

import numpy as np
import onnx
from onnx import helper, numpy_helper
from onnxruntime.transformers.float16 import convert_float_to_float16

from export.compare.run import probe_session
from export.reduce.names import restore_names
from export.reduce.nodes import RECURRENT, products_with_weights, sensitive_nodes

# float16 has all its bits from 6.1e-5 to 65504. Half of this, because partial sums may be larger.
_SMALLEST, _LARGEST = 2.0**-14, 2.0**15
_LARGE_WEIGHT = 256  # From so many values on, float16 saves more than the added node costs.


def to_float16(
    file: onnx.ModelProto, batches: list[dict], metadata: dict[str, str]
) -> onnx.ModelProto:
    """Converts a canonical file to float16. Inputs and outputs stay in float32.

    Args:
        file: The float32 file.
        batches: Inputs by name. Nodes that leave the range of float16 on any batch stay in float32.
        metadata: Properties to store in the new file.

    Returns:
        The canonical `onnx.ModelProto`, checked.
    """
    kept = sensitive_nodes(file.graph) | _nodes_out_of_range(file, batches)
    reduced = convert_float_to_float16(
        copy.deepcopy(file), keep_io_types=True, op_block_list=[], node_block_list=sorted(kept)
    )
    _skip_round_trips(reduced.graph, {node.name for node in file.graph.node})
    _store_weights_in_half(reduced.graph)
    return restore_names(reduced, file, metadata)


def _nodes_out_of_range(file, batches):
    """Returns the nodes whose inputs, weights or outputs are outside the range of float16."""
    runner, names = probe_session(file)
    weights = {tensor.name: numpy_helper.to_array(tensor) for tensor in file.graph.initializer}
    outside = set()
    for batch in batches:
        values = dict(zip(names, runner.run(names, batch), strict=True))
        for name, array in (batch | weights | values).items():
            largest = np.abs(array).max(initial=0) if array.dtype == "float32" else 0
            if largest != 0 and not _SMALLEST <= largest <= _LARGEST:
                outside.add(name)
    return {node.name for node in file.graph.node if outside & {*node.input, *node.output}}


def _skip_round_trips(graph, original):
    """Removes the pairs of casts that the converter adds between float32 nodes.

    Args:
        graph: The graph.
        original: Names of the nodes that were there before. They may cast what is no number.
    """
    producers = {name: node for node in graph.node for name in node.output}
    outputs = {value.name for value in graph.output}
    names = {}
    for node in graph.node:
        halved = producers.get(node.input[0]) if _is_cast(node, onnx.TensorProto.FLOAT) else None
        if halved is None or halved.name in original:
            continue
        if _is_cast(halved, onnx.TensorProto.FLOAT16):
            old, new = node.output[0], halved.input[0]
            if old in outputs:  # Its name must stay.
                old, new = new, old
            names[old] = new
            node.output[0] = ""  # The node is no longer needed.
    for node in graph.node:
        for values in (node.input, node.output):
            values[:] = [names.get(names.get(name, name), names.get(name, name)) for name in values]


def _is_cast(node, to):
    return node.op_type == "Cast" and helper.get_node_attr_value(node, "to") == to


def _store_weights_in_half(graph):
    """Stores the large weights of nodes that stay in float32 in float16."""
    names = {node.input[1] for node in products_with_weights(graph)}
    recurrent = (node for node in graph.node if node.op_type in RECURRENT)
    names.update(name for node in recurrent for name in node.input[1:3])
    for tensor in graph.initializer:
        array = numpy_helper.to_array(tensor)
        if tensor.name in names and array.dtype == "float32" and array.size >= _LARGE_WEIGHT:
            if np.abs(array).max() <= _LARGEST:
                name = f"{tensor.name}_half"
                cast = helper.make_node("Cast", [name], [tensor.name], to=onnx.TensorProto.FLOAT)
                graph.node.append(cast)
                tensor.CopyFrom(numpy_helper.from_array(array.astype("float16"), name))
