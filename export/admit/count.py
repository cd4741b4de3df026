"""Counts what a model would take before Keras builds it, by numbers that its file states."""

import contextlib
import math
import threading
from collections.abc import Iterator
from typing import Any

import keras

from export.errors import RefusedInputError

MAX_VALUES = 1 << 27  # In the largest batch of the comparison this is 16 GiB.

_TABLE = 1 << 20  # Values of a table that a layer makes of one number.

_NGRAMS = 1000
_CALLS = 1500  # Of any model.
_LOOKS = 500_000  # Keras looks for what a call needs in all layers, again and again.
_TIMES = 30  # A file may call what it describes this often, on the average.


def check_calls(content: Any, name: str) -> int:
    """Checks the calls of a model's layers, and of the layers of models within it.

    Args:
        content: The checked configuration.
        name: Name of the model's file, for messages.

    Returns:
        The number of calls that the file describes.

    Raises:
        RefusedInputError: If models within models make far more calls than the file describes, if
            a layer or operation is called on constants only, which would compute them at once, or
            if a layer is to be built for inputs that are too large, or if calls come before what
            they need so often that Keras would look for them too long, or if n-grams are listed
            that are too long.
    """
    described, made = _count_calls(content, name)
    if made > _TIMES * described + _CALLS:
        raise RefusedInputError(
            f"{name} describes {described} calls of layers, but its models within models make "
            f"{made}. Build the model with fewer calls of the same model."
        )
    return described


def _count_calls(node, name):
    """Returns how many calls of layers a configuration describes, and how many it makes."""
    entries = node.items() if isinstance(node, dict) else enumerate(node)
    described = made = 0
    for key, value in entries:
        if isinstance(value, dict | list) and key != "inbound_nodes":
            below = _count_calls(value, name)
            described, made = described + below[0], made + below[1]
    if isinstance(node, dict):
        config = node.get("config")
        own = config.get("name") if isinstance(config, dict) else None
        where = f"{name}: layer {ascii(own or node.get('name'))[:60]}"
        if _values(node.get("build_config")) > MAX_VALUES:
            raise RefusedInputError(f"{where} is built for inputs of more than {MAX_VALUES} values")
        longest = config.get("ngrams") if isinstance(config, dict) else None
        if isinstance(longest, int) and longest > _NGRAMS:  # Keras lists them all.
            raise RefusedInputError(f"{where} has n-grams of up to {longest} words")
        layers = node.get("layers")
        if isinstance(layers, list) and _late_calls(layers) * len(layers) > _LOOKS:
            raise RefusedInputError(f"{where} has layers in an order that takes Keras too long")
        calls = node.get("inbound_nodes")
        if isinstance(calls, list) and calls:
            if any(isinstance(call, dict) and not _has_tensor(call) for call in calls):
                raise RefusedInputError(
                    f"{where} is called on constants only. Compute them before the model."
                )
            described, made = described + len(calls), (1 + made) * len(calls)
    return described, made


def _values(node):
    """Returns the number of values of the largest shape below a node."""
    children = list(node.values()) if isinstance(node, dict) else node
    if not isinstance(children, list):
        return 0
    sizes = [size for size in children if isinstance(size, int)]
    return max(math.prod(sizes), *map(_values, children), 0)


def _late_calls(layers):
    """Returns how many layers are called on results of layers that the file describes later."""
    named = [layer if isinstance(layer, dict) else {} for layer in layers]
    places = {str(layer.get("name")): place for place, layer in enumerate(named)}
    return sum(
        any(places.get(name, -1) > place for name in _sources(layer.get("inbound_nodes")))
        for place, layer in enumerate(named)
    )


def _sources(node):
    """Yields the names of the layers that the values below a node come from."""
    if isinstance(node, dict):
        history = node.get("keras_history")
        if isinstance(history, list) and history:
            yield str(history[0])
        node = list(node.values())
    for child in node if isinstance(node, list) else ():
        yield from _sources(child)


def _has_tensor(node):
    """Returns whether an argument of a call contains a value that the model computes."""
    if isinstance(node, dict):
        return node.get("class_name") == "__keras_tensor__" or any(map(_has_tensor, node.values()))
    return isinstance(node, list) and any(map(_has_tensor, node))


@contextlib.contextmanager
def bounded_values() -> Iterator[None]:
    """Refuses to record values of more than `MAX_VALUES` numbers a sample in this thread.

    Keras describes each value, before a layer takes it, with a `keras.KerasTensor`. A
    `Normalization` by numbers makes tables of the size of its inputs when it is built.
    """
    thread, original = threading.get_ident(), keras.KerasTensor.__init__
    build = keras.layers.Normalization.build

    def checked(self, shape, *args, **kwargs):
        sizes = [size for size in shape or () if isinstance(size, int)]
        if threading.get_ident() == thread and math.prod(sizes) > MAX_VALUES:
            raise ValueError(
                f"a layer wants values of shape {tuple(shape)}, but more than {MAX_VALUES} a "
                "sample cannot be verified"
            )
        original(self, shape, *args, **kwargs)

    def checked_build(self, input_shape):
        shape = input_shape if self.input_mean is not None else None
        size = 0 if shape is None else math.prod(shape[axis] or 1 for axis in self.axis)
        if threading.get_ident() == thread and size > _TABLE:
            raise ValueError(f"layer {self.name!r} wants tables of {size} values")
        build(self, input_shape)

    setattr(keras.KerasTensor, "__init__", checked)  # noqa: B010
    setattr(keras.layers.Normalization, "build", checked_build)  # noqa: B010
    try:
        yield
    finally:
        setattr(keras.KerasTensor, "__init__", original)  # noqa: B010
        setattr(keras.layers.Normalization, "build", build)  # noqa: B010
