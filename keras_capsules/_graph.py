"""Reads the graph of a functional model. Only this file uses Keras' private attributes for it."""

from collections.abc import Iterable, Iterator
from typing import Any, NamedTuple

import keras


class Call(NamedTuple):
    """One call of a layer or operation.

    Attributes:
        operation: The layer or operation.
        inputs: The tensors that it was called on, flat.
        outputs: The tensors that it returned, flat.
    """

    operation: Any
    inputs: list
    outputs: list


def producer(tensor: keras.KerasTensor) -> Call:
    """Returns the call that a tensor comes from; that of an `InputLayer` has no inputs."""
    operation, index, _ = tensor._keras_history
    return _call(operation, operation._inbound_nodes[index])


def calls(operation: Any) -> list[Call]:
    """Returns all calls of a layer or operation, in their order."""
    return [_call(operation, node) for node in operation._inbound_nodes]


def share_call(operation: Any, other: Any) -> None:
    """Makes the newest call of an operation count as the next call of another one too."""
    other._inbound_nodes.append(operation._inbound_nodes[-1])


def name_of(tensor: keras.KerasTensor) -> str:
    """Returns the name of the layer or operation that a tensor comes from.

    A tensor's own name is numbered by each process; the name of its layer is stored in the file.
    """
    return tensor._keras_history.operation.name


def upstream(tensors: Iterable[keras.KerasTensor]) -> Iterator[keras.KerasTensor]:
    """Yields these tensors and all that they are computed from, each once."""
    seen, pending = set(), list(tensors)
    while pending:
        tensor = pending.pop()
        if id(tensor) not in seen:
            seen.add(id(tensor))
            pending.extend(producer(tensor).inputs)
            yield tensor


def calls_in_order(inputs: Iterable, outputs: Iterable) -> list[Call]:
    """Returns the calls between inputs and outputs, in an order in which they can run."""
    ordered, seen = [], set(map(id, inputs))

    def visit(tensor):
        if id(tensor) in seen:
            return
        call = producer(tensor)
        for needed in call.inputs:
            visit(needed)
        seen.update(map(id, call.outputs))
        ordered.append(call)

    for tensor in outputs:
        visit(tensor)
    return ordered


def tensors(structure: Any) -> list[keras.KerasTensor]:
    """Returns the symbolic tensors of a nested structure, flat."""
    return [x for x in keras.tree.flatten(structure) if isinstance(x, keras.KerasTensor)]


def is_graph(layer: Any) -> bool:
    """Returns whether a layer is a functional or sequential model."""
    return isinstance(layer, keras.Sequential) or (
        isinstance(layer, keras.Model) and hasattr(layer, "operations")
    )


def ends(model: keras.Model) -> tuple[Any, Any]:
    """Returns the inputs and outputs of such a model, in the model's own structure."""
    if isinstance(model, keras.Sequential):
        return model.inputs[0], model.outputs[0]
    return model.input, model.output


def layers_within(model: keras.Model) -> Iterator[Any]:
    """Yields the layers of a model and of the models nested in it, without these models."""
    for layer in model.layers:
        if is_graph(layer):
            yield from layers_within(layer)
        else:
            yield layer


def _call(operation, node):
    return Call(operation, node.input_tensors, node.output_tensors)
