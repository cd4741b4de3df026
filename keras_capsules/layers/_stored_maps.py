"""Loads explained models from files in which capsule layers compute parts of the map.

Such files were written when `call` of these layers took an argument `toward`. Today operations in
`keras_capsules.explain` compute the map. A function for each layer type turns a stored call into
these operations.
"""

from collections.abc import Callable
from typing import Any

import keras

from keras_capsules._graph import share_call

_READERS: dict[type, Callable] = {}


def reads_stored_maps(layer_class: type) -> Callable:
    """Registers a function `(layer, inputs, toward)` that returns the operation."""
    return lambda reader: _READERS.setdefault(layer_class, reader)


class StoredMaps(keras.layers.Layer):
    """Accepts the arguments with which such a file stores a call of the layer."""

    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        if "toward" not in kwargs:
            return super().__call__(*args, **kwargs)
        reader = next(reader for kind, reader in _READERS.items() if isinstance(self, kind))
        operation, inputs = reader(self, args[0], kwargs["toward"])
        outputs = operation(*inputs)
        share_call(operation, self)  # The file refers to the outputs by the layer's name.
        return outputs
