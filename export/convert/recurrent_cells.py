"""Describes Keras' recurrent cells as the operations of ONNX: weights, activations, attributes."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import keras
import numpy as np
from keras import activations, layers

_ACTIVATIONS: dict[Callable, tuple[str, list[float], list[float]]] = {
    activations.elu: ("Elu", [1.0], []),
    activations.hard_sigmoid: ("HardSigmoid", [1 / 6], [0.5]),
    activations.leaky_relu: ("LeakyRelu", [0.2], []),
    activations.linear: ("Affine", [1.0], [0.0]),
    activations.relu: ("Relu", [], []),
    activations.sigmoid: ("Sigmoid", [], []),
    activations.softplus: ("Softplus", [], []),
    activations.softsign: ("Softsign", [], []),
    activations.tanh: ("Tanh", [], []),
}
"""ONNX' names of Keras' activations, each with its values of alpha and of beta."""

_GATES: dict[type, tuple[str, list[int]]] = {
    layers.LSTMCell: ("LSTM", [0, 3, 1, 2]),
    layers.GRUCell: ("GRU", [0, 1, 2]),
    layers.SimpleRNNCell: ("RNN", [0]),
}
"""The operation of each cell, and the places of its gates in Keras, in ONNX' order."""


@dataclass(frozen=True)
class Operation:
    """A cell as an operation of ONNX.

    Attributes:
        name: `"LSTM"`, `"GRU"` or `"RNN"`.
        weights: ONNX' inputs W, R and B. Without biases B is `None`.
        attributes: Attributes of the node.
    """

    name: str
    weights: list[np.ndarray | None]
    attributes: dict[str, Any]


def cells_of(layer: layers.RNN) -> list[Any]:
    """Returns the cells of a recurrent layer, from the inputs to the outputs."""
    return layer.cell.cells if isinstance(layer.cell, layers.StackedRNNCells) else [layer.cell]


def is_standard(cell: Any) -> bool:
    """Returns whether ONNX has an operation for a cell and its activations.

    A subclass of one of Keras' cells may compute anything.
    """
    return type(cell) in _GATES and all(map(_ACTIVATIONS.__contains__, _activations(cell)))


def are_alike(one: Any, other: Any) -> bool:
    """Returns whether two cells can be the two directions of one operation."""
    names = ("units", "use_bias", "reset_after")
    return type(one) is type(other) and all(
        getattr(one, name, None) == getattr(other, name, None) for name in names
    )


def operation_of(cells: Sequence[Any]) -> Operation:
    """Returns the operation for a cell of which `is_standard` is true.

    Args:
        cells: One cell, or two that are alike, for both directions.
    """
    name = _GATES[type(cells[0])][0]
    entries = [_ACTIVATIONS[entry] for cell in cells for entry in _activations(cell)]
    names, alphas, betas = zip(*entries, strict=True)
    attributes = {
        "hidden_size": cells[0].units,
        "direction": "forward" if len(cells) == 1 else "bidirectional",
        "activations": list(names),
        "activation_alpha": sum(alphas, []),
        "activation_beta": sum(betas, []),
    }
    if name == "GRU":
        attributes["linear_before_reset"] = int(cells[0].reset_after)
    weights = [
        None if arrays[0] is None else np.stack(arrays)
        for arrays in zip(*map(_weights, cells), strict=True)
    ]
    return Operation(name, weights, {k: v for k, v in attributes.items() if v != []})


def _weights(cell):
    """Returns the two kernels and the biases of a cell in ONNX' layout."""
    order = _GATES[type(cell)][1]

    def by_gate(weights):
        gates = np.split(weights, len(order), axis=-1)
        return np.concatenate([gates[place] for place in order], axis=-1)

    kernels = [by_gate(_array(kernel)).T for kernel in (cell.kernel, cell.recurrent_kernel)]
    if cell.bias is None:
        return [*kernels, None]
    bias = np.atleast_2d(_array(cell.bias))
    biases = np.zeros((2, bias.shape[1]), bias.dtype)  # One for each kernel.
    biases[: len(bias)] = bias
    return [*kernels, by_gate(biases).flatten()]


def _activations(cell):
    """Returns the activations that ONNX lists for a cell, in its order."""
    if type(cell) is layers.LSTMCell:
        return [cell.recurrent_activation, cell.activation, cell.activation]
    if type(cell) is layers.GRUCell:
        return [cell.recurrent_activation, cell.activation]
    return [cell.activation]


def _array(variable):
    import tensorflow as tf

    with tf.init_scope():  # Reads the value, and not a tensor of the graph that is being traced.
        return keras.ops.convert_to_numpy(variable)
