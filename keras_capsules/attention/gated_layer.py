"""Defines the base class of all layers that weigh their input by gates."""

from typing import Any

import keras


class GatedLayer(keras.layers.Layer):
    """Base of the layers that weigh their input by gates; the output has the input's shape.

    A subclass takes `return_gates` in `call` and returns the pair `(outputs, gates)` for it, where
    `gates` is one tensor, or a tuple of several. It tells their shapes in `gates_shapes`.
    """

    def gates_shapes(self, input_shape: tuple) -> tuple[tuple, ...]:
        """Returns the shape of each tensor of gates, also where there is only one."""
        raise NotImplementedError

    def has_channel_gates(self) -> bool:
        """Returns whether the gates, or the first of several, are one for each channel."""
        return False

    def compute_output_shape(self, input_shape: tuple) -> tuple:
        return tuple(input_shape)

    def compute_output_spec(
        self, inputs: Any, mask: Any = None, return_gates: bool = False, training: Any = None
    ) -> Any:
        outputs = keras.KerasTensor(inputs.shape, self.compute_dtype)
        if not return_gates:
            return outputs
        shapes = self.gates_shapes(tuple(inputs.shape))
        gates = tuple(keras.KerasTensor(shape, self.compute_dtype) for shape in shapes)
        return outputs, gates[0] if len(gates) == 1 else gates
