"""Records the calls of a model while it is rebuilt, and finds its residual branches."""

from collections.abc import Iterable
from typing import Any, NamedTuple

import keras

from keras_capsules._graph import is_graph, tensors


class RecordedCall(NamedTuple):
    """The call that a tensor comes from.

    Attributes:
        layer: The layer or operation.
        inputs: List of the tensors that it was called on.
        tensor: The tensor. It is kept because another object could otherwise get its `id`.
    """

    layer: Any
    inputs: list
    tensor: keras.KerasTensor


class RecordedCalls:
    """Stores the calls so far, without the layers that were inserted."""

    def __init__(self):
        self._by_tensor: dict[int, RecordedCall] = {}

    def record(self, layer: Any, inputs: list, outputs: Any) -> None:
        """Records a call of a layer."""
        for x in tensors(outputs):
            self._by_tensor[id(x)] = RecordedCall(layer, inputs, x)

    def record_alias(self, x: keras.KerasTensor, alias: keras.KerasTensor) -> None:
        """Treats `alias` as `x`, and thus ignores a layer that was inserted between them."""
        self._by_tensor[id(alias)] = self._by_tensor[id(x)]._replace(tensor=alias)

    def layer_of(self, x: keras.KerasTensor) -> Any:
        """Returns the layer that a tensor comes from."""
        return self._by_tensor[id(x)].layer

    def layers_above(self, tensor: keras.KerasTensor) -> dict[int, Any]:
        """Returns the layers that a tensor comes from, nearest first, with `None` for an input."""
        layers, pending = {}, [tensor]
        while pending:
            x = pending.pop(0)
            call = self._by_tensor.get(id(x), RecordedCall(None, [], x))
            key = id(x if call.layer is None else call.layer)
            if key not in layers:
                layers[key] = call.layer
                pending.extend(call.inputs)
        return layers

    def data_format(self, x: keras.KerasTensor) -> str | None:
        """Returns the data format of the nearest layer that has one, or `None`."""
        formats = (getattr(layer, "data_format", None) for layer in self.layers_above(x).values())
        return next(filter(None, formats), None)

    def residual_branch(
        self, first: keras.KerasTensor, second: keras.KerasTensor
    ) -> keras.KerasTensor | None:
        """Returns the input of an addition that ends the residual branch, or `None` without one."""
        above_first, above_second = self.layers_above(first), self.layers_above(second)
        if first.shape != second.shape or not above_first.keys() & above_second.keys():
            return None
        first_length = _length(_without(above_first, above_second))
        second_length = _length(_without(above_second, above_first))
        if first_length == second_length:
            return None
        return first if first_length > second_length else second


def _without(layers, others):
    """Returns the layers that are not among the others, without the model's inputs."""
    return [layer for key, layer in layers.items() if key not in others and layer is not None]


def _length(layers: Iterable) -> tuple[int, int]:
    """Returns the number of layers with weights and of all layers, nested models included."""
    weighted = total = 0
    for layer in layers:
        if is_graph(layer):
            weighted_inside, total_inside = _length(layer.layers)
        else:
            weighted_inside = int(bool(getattr(layer, "weights", ())))  # Operations have none.
            total_inside = 1
        weighted, total = weighted + weighted_inside, total + total_inside
    return weighted, total
