"""Joins maps that went down and up with those that stayed."""

from typing import Any

import keras
from keras import layers


@keras.saving.register_keras_serializable(package="keras_capsules")
class Link(layers.Concatenate):
    """Concatenates maps, and explains sizes that halving and doubling did not meet again."""

    def call(self, inputs: Any) -> Any:
        sizes = [tuple(tensor.shape[1:3]) for tensor in inputs]
        if None not in sizes[0] + sizes[1] and sizes[0] != sizes[1]:
            raise ValueError(
                "The network halves height and width and doubles them again, so both must be "
                "multiples of 8. Pad or crop the images. "
                f"Received: maps of {sizes[0]} and {sizes[1]} in {self.name!r}"
            )
        return super().call(inputs)
