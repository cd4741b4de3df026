"""Makes an int8 file from a float32 file."""

import copy
import tempfile
from pathlib import Path

import onnx
from onnxruntime import quantization
from onnxruntime.quantization.quant_utils import add_pre_process_metadata

from export.errors import UsageError
from export.reduce.names import restore_names
from export.reduce.nodes import PRODUCTS, quantizable_products


def to_int8(
    file: onnx.ModelProto, batches: list[dict], metadata: dict[str, str]
) -> onnx.ModelProto:
    """Quantizes convolutions and dense layers, by the ranges of their values on given inputs.

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
        return restore_names(onnx.load(target), file, metadata)


class _Batches(quantization.CalibrationDataReader):
    def __init__(self, batches):
        self._batches = iter(batches)

    def get_next(self):
        return next(self._batches, None)
