"""Turns the converter's raw graph into the canonical file, which is the same for a model.

The nodes are in the order in which the outputs need them, and have the names of the Keras layers
that they come from. Weights are named after the node that uses them. Nothing in the file depends on
the order in which a converter visited nodes, on paths or on dates.
"""

from collections.abc import Collection

import onnx
import onnxslim
from onnx import helper, numpy_helper

from export.errors import ConversionError
from export.graph import rewrites
from export.graph.names import layers_of, name_after_layers
from export.graph.order import ordered_nodes, values_read
from export.graph.refused_operations import refuse_operations
from export.graph.shape_arithmetic import integers_alone

BATCH_AXIS = "batch"
PRODUCER = "keras-capsules"
"""Producer of canonical files, whose nodes have the names of layers."""


def to_canonical(
    raw: onnx.ModelProto,
    inputs: dict[str, tuple],
    outputs: dict[str, tuple],
    layer_names: set[str],
    metadata: dict[str, str],
    allowed: Collection[str] = (),
) -> tuple[onnx.ModelProto, dict[str, str]]:
    """Makes the canonical file of a raw conversion.

    Args:
        raw: Output of the converter.
        inputs: Shapes of the model's inputs by name, in the model's order, with names for open
            axes.
        outputs: Shapes of the model's outputs, likewise.
        layer_names: Names of the model's layers, to find in the converter's names.
        metadata: Properties to store in the file.
        allowed: Control flow that the file may hold, some of `export.options.CONTROL_FLOW`.

    Returns:
        The canonical `onnx.ModelProto`, checked, and the converter's names of its values.

    Raises:
        UnsupportedOperationError: If the graph has an operation that a file may not hold.
        ConversionError: If the graph is not valid.
    """
    with integers_alone():
        model = onnxslim.slim(raw)
    graph = model.graph
    _constants_to_initializers(graph)
    rewrites.rewrite(graph)
    refuse_operations(model, allowed, lambda node: layers_of(node, layer_names))
    nodes = ordered_nodes(graph, outputs)
    names = name_after_layers(graph, nodes, [*inputs, *outputs], layer_names)
    values = _typed_values(raw.graph.input, inputs), _typed_values(raw.graph.output, outputs)
    canonical = assemble(model, nodes, *values, metadata)
    return canonical, {new: old for old, new in names.items()}


def assemble(model, nodes, inputs, outputs, metadata: dict[str, str]) -> onnx.ModelProto:
    """Makes a file of ordered and named nodes and the weights they use, and checks it."""
    opset = next(entry for entry in model.opset_import if entry.domain in ("", "ai.onnx"))
    weights = _initializers_in_use(model.graph, nodes)
    canonical = helper.make_model(
        helper.make_graph(nodes, "model", inputs, outputs, weights),
        opset_imports=[helper.make_opsetid("", opset.version)],
        producer_name=PRODUCER,
    )
    canonical.ir_version = helper.find_min_ir_version_for(canonical.opset_import)
    helper.set_model_props(canonical, dict(sorted(metadata.items())))
    _check(canonical)
    return canonical


def _constants_to_initializers(graph):
    for node in [node for node in graph.node if node.op_type == "Constant"]:
        array = numpy_helper.to_array(helper.get_node_attr_value(node, "value"))
        graph.initializer.append(numpy_helper.from_array(array, node.output[0]))
        graph.node.remove(node)


def _typed_values(values, shapes):
    """Describes inputs or outputs in the model's order, where a size of `None` is the batch."""
    types = {value.name: value.type.tensor_type.elem_type for value in values}
    return [
        helper.make_tensor_value_info(
            name, types[name], [BATCH_AXIS if size is None else size for size in shape]
        )
        for name, shape in shapes.items()
    ]


def _initializers_in_use(graph, nodes):
    tensors = {tensor.name: tensor for tensor in graph.initializer}
    used = dict.fromkeys(name for node in nodes for name in values_read(node) if name in tensors)
    return [numpy_helper.from_array(numpy_helper.to_array(tensors[name]), name) for name in used]


def _check(model):
    try:
        onnx.checker.check_model(model, full_check=True)
        onnx.shape_inference.infer_shapes(model, check_type=True, strict_mode=True, data_prop=True)
    except (onnx.checker.ValidationError, onnx.shape_inference.InferenceError) as error:
        raise ConversionError(f"The converted graph is not valid ONNX: {error}") from error
