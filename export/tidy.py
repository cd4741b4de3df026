"""Raw converter output to a canonical graph: one model, one sequence of bytes.

The nodes stand in the order in which the outputs need them and carry the names of the Keras layers
they come from; weights are named after the node that uses them. Nothing in the file depends on
the order in which a converter met its nodes, on paths or on dates.
"""

import itertools
import re

import onnx
import onnxslim
from onnx import helper, numpy_helper

from export import rewrites
from export.errors import ConversionError, UnsupportedOperationError

BATCH_AXIS = "batch"

# Control flow, and what onnxruntime runs slowly or other runtimes do not have.
REFUSED_OPERATIONS = {"Einsum", "If", "Loop", "Scan", "SequenceMap"}


def tidy(
    raw: onnx.ModelProto,
    inputs: dict[str, tuple],
    outputs: dict[str, tuple],
    layer_names: set[str],
    metadata: dict[str, str],
) -> tuple[onnx.ModelProto, dict[str, str]]:
    """Makes the canonical file of a raw conversion.

    Args:
        raw: What the converter wrote.
        inputs: Shapes of the model's inputs by name, in its order.
        outputs: Shapes of the model's outputs by name, in its order.
        layer_names: Names of the model's layers, to recognise in the converter's names.
        metadata: Properties to store in the file.

    Returns:
        The canonical `onnx.ModelProto`, checked, and the converter's names of its values.

    Raises:
        UnsupportedOperationError: If the graph holds an operation that it may not hold.
        ConversionError: If the graph is not valid.
    """
    model = onnxslim.slim(raw)
    graph = model.graph
    _constants_to_initializers(graph)
    rewrites.rewrite(graph)
    refuse_operations(model)
    nodes = ordered_nodes(graph, outputs)
    names = _name(graph, nodes, [*inputs, *outputs], layer_names)
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
        producer_name="keras-capsules",
    )
    canonical.ir_version = helper.find_min_ir_version_for(canonical.opset_import)
    helper.set_model_props(canonical, dict(sorted(metadata.items())))
    _check(canonical)
    return canonical


def serialize(model: onnx.ModelProto) -> bytes:
    """Returns the bytes of the file, the same each time."""
    return model.SerializeToString(deterministic=True)


def refuse_operations(model: onnx.ModelProto) -> None:
    """Raises an `UnsupportedOperationError` for what an exported file may not hold."""
    for node in model.graph.node:
        custom = node.domain not in ("", "ai.onnx") or not onnx.defs.has(node.op_type)
        if custom or node.op_type in REFUSED_OPERATIONS:
            kind = "an operation outside the ONNX standard" if custom else "not run on every device"
            unrolled = " Recurrent layers have none with unroll=True." * (node.op_type == "Loop")
            raise UnsupportedOperationError(
                f"The model needs the operation {node.op_type} ({kind}) in {node.name!r}. Replace "
                "the layer it comes from by one built of matrix products, convolutions, "
                f"reductions and element-wise operations.{unrolled}"
            )
    if model.functions:
        raise UnsupportedOperationError(
            f"The graph defines functions of its own: {[f.name for f in model.functions]}"
        )


def _constants_to_initializers(graph):
    for node in [node for node in graph.node if node.op_type == "Constant"]:
        array = numpy_helper.to_array(helper.get_node_attr_value(node, "value"))
        graph.initializer.append(numpy_helper.from_array(array, node.output[0]))
        graph.node.remove(node)


def ordered_nodes(graph, outputs):
    """Sorts the nodes by need: each after its inputs, in the order of the model's outputs."""
    producers = {name: node for node in graph.node for name in node.output if name}
    ordered, seen = [], set()
    stack = [(name, False) for name in reversed(outputs)]
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
            stack.extend((needed, False) for needed in reversed(node.input))
    return ordered


def _name(graph, nodes, kept, layer_names):
    """Renames nodes after layers, values after nodes and weights after the input they feed.

    Returns the new name of each value by its old one.
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

    A node that an optimizer made has no such name; it takes that of its weights, or of its input.
    """
    sources = [node.name, *(value for value in node.input if value in weights)]
    for source in sources:
        if "/" in source:
            parts = source.split("/")[1:-1]
            return [name for part in parts if (name := _layer_name(part, layer_names))]
    return next((scopes[value] for value in node.input if value in scopes), [])


def _layer_name(part, layer_names):
    """Undoes the numbering of name scopes; returns None for scopes that are no layers'.

    TensorFlow numbers the scope of every layer, `dense` to `dense_1` and `dense_1` to `dense_1_1`.
    """
    for candidate in (re.sub(r"_\d+$", "", part), part):
        if candidate in layer_names or re.fullmatch(r"routing_\d+", candidate):
            return candidate
    return None


def _typed_values(values, shapes):
    """Describes inputs or outputs in the model's order; an open first axis gets a name."""
    types = {value.name: value.type.tensor_type.elem_type for value in values}
    return [
        helper.make_tensor_value_info(name, types[name], [shape[0] or BATCH_AXIS, *shape[1:]])
        for name, shape in shapes.items()
    ]


def _initializers_in_use(graph, nodes):
    tensors = {tensor.name: tensor for tensor in graph.initializer}
    used = dict.fromkeys(name for node in nodes for name in node.input if name in tensors)
    return [numpy_helper.from_array(numpy_helper.to_array(tensors[name]), name) for name in used]


def _check(model):
    try:
        onnx.checker.check_model(model, full_check=True)
        onnx.shape_inference.infer_shapes(model, check_type=True, strict_mode=True, data_prop=True)
    except (onnx.checker.ValidationError, onnx.shape_inference.InferenceError) as error:
        raise ConversionError(f"The converted graph is not valid ONNX: {error}") from error
