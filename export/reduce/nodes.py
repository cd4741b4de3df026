"""Chooses the nodes of a graph that may be reduced. Capsules need the others in float32.

Routing does not survive a reduction of the whole graph. float16 cannot sum the squares of vectors
longer than 256 or shorter than 1e-4, and the factors that keep `squash` finite (2**-60) are zero in
it. Eight bits cannot represent a softmax of agreements. In a layer that measures lengths or
densities, only the products with weights are therefore reduced:

* float16: these products, and in the other layers everything but softmax, means and divisions.
  Nodes that leave the range of float16 on ordinary, real or huge inputs stay in float32 too, and
  only their weights are stored in float16. So are the weights of recurrent layers.
* int8: convolutions and dense layers, and the relu after them. The kernels of capsules are only
  stored in int8, and multiplied in float32: with scales by channel a product of three axes fails
  in onnxruntime at run time.
"""

import onnx

# A layer that has one of these operations measures lengths or densities.
_MEASURES = {"Exp", "LayerNormalization", "Log", "Pow", "ReduceL2", "ReduceSum", "Sqrt"}
RECURRENT = {"GRU", "LSTM", "RNN"}
"""Operations that onnxruntime's CPU computes in float32 only."""

_SENSITIVE = _MEASURES | RECURRENT
_SENSITIVE |= {"Div", "GlobalAveragePool", "LogSoftmax", "ReduceMean", "Softmax"}
PRODUCTS = {"Conv", "ConvTranspose", "Gemm", "MatMul"}
"""Operations that multiply by weights."""


def sensitive_nodes(graph: onnx.GraphProto) -> set[str]:
    """Returns the names of the nodes that a float16 file leaves in float32."""
    measuring = _measuring_layers(graph)
    products = {node.name for node in products_with_weights(graph)}
    return {
        node.name
        for node in graph.node
        if node.op_type in _SENSITIVE or (node.name not in products and _is_within(node, measuring))
    }


def quantizable_products(graph: onnx.GraphProto) -> list[str]:
    """Returns the names of the products that an int8 file quantizes."""
    measuring = _measuring_layers(graph)
    ranks = {tensor.name: len(tensor.dims) for tensor in graph.initializer}
    return [
        node.name
        for node in products_with_weights(graph)
        if node.op_type.startswith("Conv")
        or (ranks[node.input[1]] == 2 and not _is_within(node, measuring))
    ]


def _measuring_layers(graph):
    return {_layers_around(node) for node in graph.node if node.op_type in _MEASURES} - {""}


def _layers_around(node):
    """Returns the layers around a node, which are its name without the last part."""
    return node.name.rpartition("/")[0]


def _is_within(node, layers):
    return any(f"{_layers_around(node)}/".startswith(f"{layer}/") for layer in layers)


def products_with_weights(graph: onnx.GraphProto) -> list[onnx.NodeProto]:
    """Returns the products whose second factor is a weight."""
    weights = {tensor.name for tensor in graph.initializer}
    return [node for node in graph.node if node.op_type in PRODUCTS and node.input[1] in weights]
