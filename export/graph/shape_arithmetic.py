"""Keeps onnxslim from computing with the sizes of tensors as if all numbers were integers."""

import contextlib
import threading
from collections.abc import Iterator

import onnx
import onnxslim.core
from onnx import helper

_LOCK = threading.Lock()
_FLOATS = {
    onnx.TensorProto.FLOAT,
    onnx.TensorProto.DOUBLE,
    onnx.TensorProto.FLOAT16,
    onnx.TensorProto.BFLOAT16,
}


@contextlib.contextmanager
def integers_alone() -> Iterator[None]:
    """Lets onnxslim follow sizes through integers alone, and guess none.

    It follows a size through a Cast to a float, and then rounds products and quotients down: the
    median of four rows became the first row. It takes an unknown size that meets a known one for
    the same, though it may be 1: a list of quantiles became a Reshape that cannot be done.

    Version: onnxslim 0.1.98.
    Test: `tests/export/convert/test_operations.py`, which fails when it is not needed.
    """
    from onnxslim.core.shape_inference.context import InferenceContext

    with _LOCK:
        follow, guess = InferenceContext.pass_on_sympy_data, onnxslim.core.AUTO_MERGE

        def follow_integers(context, node):
            to = helper.get_node_attr_value(node, "to") if node.op_type == "Cast" else None
            if to not in _FLOATS:
                follow(context, node)

        InferenceContext.pass_on_sympy_data, onnxslim.core.AUTO_MERGE = follow_integers, False
        try:
            yield
        finally:
            InferenceContext.pass_on_sympy_data, onnxslim.core.AUTO_MERGE = follow, guess
