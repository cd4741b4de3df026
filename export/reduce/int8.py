"""Makes an int8 file from a float32 file."""

import copy
import math
import tempfile
from pathlib import Path

import numpy as np
import onnx
from onnx import helper, numpy_helper
from onnxruntime import quantization
from onnxruntime.quantization.quant_utils import add_pre_process_metadata

from export.errors import UsageError
from export.reduce.names import restore_names
from export.reduce.nodes import PRODUCTS, products_with_weights, quantizable_products

_LEAST = 1024
"""Values of a weight from which on its scale and a node more are worth it."""


def to_int8(
    file: onnx.ModelProto, batches: list[dict], metadata: dict[str, str]
) -> onnx.ModelProto:
    """Quantizes convolutions and dense layers, by the ranges of their values on given inputs.

    The kernels of capsules are stored in int8, and multiplied in float32.

    Args:
        file: The float32 file.
        batches: Inputs by name, for the calibration.
        metadata: Properties to store in the new file.

    Returns:
        The canonical `onnx.ModelProto`, checked.

    Raises:
        UsageError: If the model has neither a convolution nor a dense layer.
    """
    names = quantizable_products(file.graph)
    if not names:
        raise UsageError(
            "int8 is for convolutions and dense layers, but the model has none outside of capsule "
            'layers. Export it with precision="float16".'
        )
    names += [node.name for node in file.graph.node if node.op_type in ("Clip", "Relu")]
    prepared = copy.deepcopy(file)
    add_pre_process_metadata(prepared)  # The file is simplified already.
    with tempfile.TemporaryDirectory() as folder:
        source, target = Path(folder) / "float32.onnx", Path(folder) / "int8.onnx"
        onnx.save(prepared, source)
        quantization.quantize_static(
            source,
            target,
            _Batches(batches),
            op_types_to_quantize=sorted(PRODUCTS | {"Clip", "Relu"}),
            nodes_to_quantize=names,
            per_channel=True,
            reduce_range=True,
            activation_type=quantization.QuantType.QUInt8,
            weight_type=quantization.QuantType.QInt8,
        )
        reduced = onnx.load(target)
    _store_kernels(reduced.graph)
    return restore_names(reduced, file, metadata)


def _store_kernels(graph):
    """Stores the weights of the other products in int8, with one scale each.

    They are products of float32: of capsules, whose votes eight bits do not represent well enough.
    Scales by channel would be finer, but where the first factor is quantized, onnxruntime makes one
    integer product of the two, which takes them in two axes only.
    """
    weights = {tensor.name: tensor for tensor in graph.initializer}
    for name in sorted({node.input[1] for node in products_with_weights(graph)}):
        tensor = weights[name]
        if tensor.data_type != onnx.TensorProto.FLOAT or math.prod(tensor.dims) < _LEAST:
            continue
        weight = numpy_helper.to_array(tensor)
        scale = np.float32(np.abs(weight).max() / 127 or 1)
        parts = {f"{name}/int8": np.round(weight / scale).astype("int8"), f"{name}/scale": scale}
        graph.initializer.remove(tensor)
        graph.initializer.extend(
            numpy_helper.from_array(np.asarray(array), part) for part, array in parts.items()
        )
        graph.node.append(
            helper.make_node("DequantizeLinear", list(parts), [name], name=f"{name}/float")
        )


class _Batches(quantization.CalibrationDataReader):
    def __init__(self, batches):
        self._batches = iter(batches)

    def get_next(self):
        return next(self._batches, None)
