"""The verified float32 file in float16 or int8, with what capsules need kept in float32.

Neither is done to the whole graph, because routing does not survive it. float16 sums no squares of
vectors longer than 256 or shorter than 1e-4, and the factors that keep `squash` finite (2**-60) are
zero in it; eight bits hold no softmax of agreements. So, whichever the precision, in a layer that
measures lengths or densities only the products with weights are reduced:

* float16: those products, and all of the other layers but softmax, means and divisions. What leaves
  the range of float16 on ordinary, real or huge inputs is computed in float32 too; there only the
  weights are stored in float16.
* int8: convolutions and dense layers, and the relu after them. The weights have a scale for each
  channel and seven bits, since processors without VNNI saturate on eight. The kernels of capsules
  stay in float32: with scales by channel, a product of three axes fails in onnxruntime as it runs.
"""

import itertools
import tempfile
from pathlib import Path

import numpy as np
import onnx
from onnx import helper, numpy_helper
from onnxruntime import quantization
from onnxruntime.quantization.quant_utils import add_pre_process_metadata
from onnxruntime.transformers.float16 import convert_float_to_float16

from export import tidy
from export.errors import UsageError
from export.parity import session

# A layer with one of these measures lengths or densities.
_MEASURES = {"Exp", "LayerNormalization", "Log", "Pow", "ReduceL2", "ReduceSum", "Sqrt"}
_SENSITIVE = _MEASURES | {"Div", "GlobalAveragePool", "LogSoftmax", "ReduceMean", "Softmax"}
_PRODUCTS = {"Conv", "ConvTranspose", "Gemm", "MatMul"}

# float16 holds 6.1e-5 to 65504 with all its bits. Half of that, since sums may pass through more.
_SMALLEST, _LARGEST = 2.0**-14, 2.0**15
_LARGE_WEIGHT = 256  # Numbers from which on storing them in half is worth a node.


def to_float16(file: onnx.ModelProto, batches: list[dict], metadata: dict) -> onnx.ModelProto:
    """Converts a canonical file to float16; inputs and outputs stay in float32.

    Args:
        file: The float32 file.
        batches: Inputs by name. Nodes that leave the range of float16 on one stay in float32.
        metadata: Properties to store in the new file.

    Returns:
        The canonical `onnx.ModelProto`, checked.
    """
    kept = _sensitive_nodes(file.graph) | _nodes_out_of_range(file, batches)
    reduced = convert_float_to_float16(
        _copy(file), keep_io_types=True, op_block_list=[], node_block_list=sorted(kept)
    )
    _skip_round_trips(reduced.graph)
    _store_weights_in_half(reduced.graph)
    return _canonical(reduced, file, metadata)


def to_int8(file: onnx.ModelProto, batches: list[dict], metadata: dict) -> onnx.ModelProto:
    """Quantizes convolutions and dense layers, by the ranges that their values take on inputs.

    Args:
        file: The float32 file.
        batches: Inputs by name, to calibrate on.
        metadata: Properties to store in the new file.

    Returns:
        The canonical `onnx.ModelProto`, checked.

    Raises:
        UsageError: If the model has no convolution and no dense layer.
    """
    names = _quantizable_products(file.graph)
    if not names:
        raise UsageError(
            "int8 is for convolutions and dense layers, and the model has none outside of capsule "
            'layers. Export it with precision="float16".'
        )
    names += [node.name for node in file.graph.node if node.op_type in ("Clip", "Relu")]
    prepared = _copy(file)
    add_pre_process_metadata(prepared)  # The file is simplified already.
    with tempfile.TemporaryDirectory() as folder:
        source, target = Path(folder) / "float32.onnx", Path(folder) / "int8.onnx"
        onnx.save(prepared, source)
        quantization.quantize_static(
            source,
            target,
            _Batches(batches),
            op_types_to_quantize=sorted(_PRODUCTS | {"Clip", "Relu"}),
            nodes_to_quantize=names,
            per_channel=True,
            reduce_range=True,
            activation_type=quantization.QuantType.QUInt8,
            weight_type=quantization.QuantType.QInt8,
        )
        return _canonical(onnx.load(target), file, metadata)


class _Batches(quantization.CalibrationDataReader):
    def __init__(self, batches):
        self._batches = iter(batches)

    def get_next(self):
        return next(self._batches, None)


def _sensitive_nodes(graph):
    measuring, products = _measuring_scopes(graph), {node.name for node in _products(graph)}
    return {
        node.name
        for node in graph.node
        if node.op_type in _SENSITIVE or (node.name not in products and _is_within(node, measuring))
    }


def _quantizable_products(graph):
    measuring = _measuring_scopes(graph)
    ranks = {tensor.name: len(tensor.dims) for tensor in graph.initializer}
    return [
        node.name
        for node in _products(graph)
        if node.op_type.startswith("Conv")
        or (ranks[node.input[1]] == 2 and not _is_within(node, measuring))
    ]


def _measuring_scopes(graph):
    return {_scope(node) for node in graph.node if node.op_type in _MEASURES} - {""}


def _scope(node):
    """Returns the layers around a node: all of its name but the last part."""
    return node.name.rpartition("/")[0]


def _is_within(node, scopes):
    return any(f"{_scope(node)}/".startswith(f"{scope}/") for scope in scopes)


def _products(graph):
    weights = {tensor.name for tensor in graph.initializer}
    return [node for node in graph.node if node.op_type in _PRODUCTS and node.input[1] in weights]


def _nodes_out_of_range(file, batches):
    """Returns the nodes whose inputs, weights or outputs float16 cannot hold."""
    probe = _copy(file)
    del probe.graph.output[:]
    names = [name for node in file.graph.node for name in node.output]
    probe.graph.output.extend(map(helper.make_empty_tensor_value_info, names))
    runner = session(probe, "ORT_DISABLE_ALL", 1)
    weights = {tensor.name: numpy_helper.to_array(tensor) for tensor in file.graph.initializer}
    outside = set()
    for batch in batches:
        values = dict(zip(names, runner.run(names, batch), strict=True))
        for name, array in (batch | weights | values).items():
            largest = np.abs(array).max(initial=0) if array.dtype == "float32" else 0
            if largest != 0 and not _SMALLEST <= largest <= _LARGEST:
                outside.add(name)
    return {node.name for node in file.graph.node if outside & {*node.input, *node.output}}


def _skip_round_trips(graph):
    """Undoes float32 to float16 to float32, which the converter puts between float32 nodes."""
    producers = {name: node for node in graph.node for name in node.output}
    outputs = {value.name for value in graph.output}
    names = {}
    for node in graph.node:
        halved = producers.get(node.input[0]) if _is_cast(node, onnx.TensorProto.FLOAT) else None
        if halved is not None and _is_cast(halved, onnx.TensorProto.FLOAT16):
            old, new = node.output[0], halved.input[0]
            if old in outputs:  # Its name must stay.
                old, new = new, old
            names[old] = new
            node.output[0] = ""  # Nothing needs the node any more.
    for node in graph.node:
        for values in (node.input, node.output):
            values[:] = [names.get(names.get(name, name), names.get(name, name)) for name in values]


def _is_cast(node, to):
    return node.op_type == "Cast" and helper.get_node_attr_value(node, "to") == to


def _store_weights_in_half(graph):
    """Stores the large weights of products that stay in float32 in float16."""
    names = {node.input[1] for node in _products(graph)}
    for tensor in graph.initializer:
        array = numpy_helper.to_array(tensor)
        if tensor.name in names and array.dtype == "float32" and array.size >= _LARGE_WEIGHT:
            if np.abs(array).max() <= _LARGEST:
                name = f"{tensor.name}_half"
                cast = helper.make_node("Cast", [name], [tensor.name], to=onnx.TensorProto.FLOAT)
                graph.node.append(cast)
                tensor.CopyFrom(numpy_helper.from_array(array.astype("float16"), name))


def _canonical(reduced, file, metadata):
    """Gives nodes and values their names back, and names what was added after what it converts."""
    graph = reduced.graph
    outputs = [value.name for value in file.graph.output]
    nodes = tidy.ordered_nodes(graph, outputs)
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
    tidy.refuse_operations(reduced)
    return tidy.assemble(reduced, nodes, file.graph.input, file.graph.output, metadata)


def _copy(file):
    copy = onnx.ModelProto()
    copy.CopyFrom(file)
    return copy
