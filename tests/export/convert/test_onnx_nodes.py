"""ONNX nodes in TensorFlow graphs, as tf2onnx converts them."""

import numpy as np
import onnxruntime
from conftest import once

pytestmark = once


def test_nodes_with_absent_inputs_and_several_outputs_are_converted():
    import tensorflow as tf
    import tf2onnx

    from export.convert.onnx_nodes import HANDLERS, onnx_node

    kernel = np.random.default_rng(0).normal(size=(5, 4)).astype("float32")

    @tf.function
    def forward(x):
        (product,) = onnx_node(
            "Gemm", [x, tf.constant(kernel), None], [((None, 5), tf.float32)], transB=1
        )
        outputs = [((None, 2), tf.float32), ((None, 2), tf.int64)]
        values, places = onnx_node("TopK", [product, tf.constant([2], tf.int64)], outputs, axis=-1)
        return {"values": values, "places": places}

    signature = [tf.TensorSpec((None, 4), tf.float32, name="x")]
    file, _ = tf2onnx.convert.from_function(
        forward, signature, opset=17, custom_op_handlers=HANDLERS
    )
    assert {node.op_type for node in file.graph.node} >= {"Gemm", "TopK"}
    x = np.random.default_rng(1).normal(size=(3, 4)).astype("float32")
    session = onnxruntime.InferenceSession(file.SerializeToString())
    values, places = session.run(["values", "places"], {"x": x})
    expected = np.argsort(-(x @ kernel.T))[:, :2]
    np.testing.assert_array_equal(places, expected)
    np.testing.assert_allclose(values, np.take_along_axis(x @ kernel.T, expected, 1), atol=1e-5)
