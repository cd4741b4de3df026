"""Reads the graph of a functional model; no other file uses Keras' private graph attributes."""

from collections.abc import Callable, Iterable, Iterator
from typing import Any, NamedTuple

import keras


class Call(NamedTuple):
    """One call of a layer or operation.

    Attributes:
        operation: The layer or operation.
        inputs: Flat list of the tensors that it was called on.
        outputs: Flat list of the tensors that it returned.
    """

    operation: Any
    inputs: list
    outputs: list


def producer(tensor: keras.KerasTensor) -> Call:
    """Returns the call that a tensor comes from; the call of an `InputLayer` has no inputs."""
    operation, index, _ = tensor._keras_history
    return _call(operation, operation._inbound_nodes[index])


def calls(operation: Any) -> list[Call]:
    """Returns all calls of a layer or operation, in the order in which they were made."""
    return [_call(operation, node) for node in operation._inbound_nodes]


def evaluate(tensor: keras.KerasTensor, values: dict[int, Any]) -> Any:
    """Returns what a tensor's call makes of other values, by the identities of its inputs."""
    operation, index, _ = tensor._keras_history
    args, kwargs = operation._inbound_nodes[index].arguments.fill_in(values)
    return operation(*args, **kwargs)


def share_call(operation: Any, other: Any) -> None:
    """Also records the newest call of an operation as a call of another one."""
    other._inbound_nodes.append(operation._inbound_nodes[-1])


def name_of(tensor: keras.KerasTensor) -> str:
    """Returns the name of the layer or operation that a tensor comes from.

    The name of the tensor itself has a number that differs between processes. The name of the layer
    is stored in the file.
    """
    return tensor._keras_history.operation.name


def upstream(tensors: Iterable[keras.KerasTensor]) -> Iterator[keras.KerasTensor]:
    """Yields these tensors and all tensors that they are computed from, each once."""
    seen, pending = set(), list(tensors)
    while pending:
        tensor = pending.pop()
        if id(tensor) not in seen:
            seen.add(id(tensor))
            pending.extend(producer(tensor).inputs)
            yield tensor


def calls_in_order(inputs: Iterable, outputs: Iterable) -> list[Call]:
    """Returns the calls between inputs and outputs, in an order in which these calls can run."""
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
    """Returns the symbolic tensors of a nested structure as a flat list."""
    return [x for x in keras.tree.flatten(structure) if isinstance(x, keras.KerasTensor)]


def is_graph(layer: Any) -> bool:
    """Returns whether a layer is a functional or sequential model."""
    return isinstance(layer, keras.Sequential) or (
        isinstance(layer, keras.Model) and hasattr(layer, "operations")
    )


def ends(model: keras.Model) -> tuple[Any, Any]:
    """Returns the inputs and outputs of such a model, in the model's structure."""
    if isinstance(model, keras.Sequential):
        return model.inputs[0], model.outputs[0]
    return model.input, model.output


def run(model: keras.Model, inputs: Any, call: Callable) -> Any:
    """Runs the calls of a functional or sequential model on other inputs, in their order.

    Args:
        model: The model.
        inputs: Tensors in the structure of the model's inputs.
        call: Function that is called with each layer or operation, and with its arguments.

    Returns:
        Tensors in the structure of the model's outputs.
    """
    return keras.Model(*ends(model))._run_through_graph(inputs, call_fn=call)


def layers_within(model: keras.Model) -> Iterator[Any]:
    """Yields the layers of a model and of its nested models, but not the nested models."""
    for layer in model.layers:
        if is_graph(layer):
            yield from layers_within(layer)
        else:
            yield layer


def classes(model: keras.Model) -> dict[str, type]:
    """Returns the classes of a model and of all layers inside it, by name."""
    return {type(layer).__name__: type(layer) for layer in model._flatten_layers()}


def _call(operation, node):
    return Call(operation, node.input_tensors, node.output_tensors)
