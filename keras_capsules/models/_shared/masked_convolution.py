"""Convolves series whose absent steps a mask marks."""

from typing import Any

import keras
from keras import layers, ops

from keras_capsules._receptive_fields import present_cells


@keras.saving.register_keras_serializable(package="keras_capsules")
class MaskedConv1D(layers.Conv1D):
    """Convolution in which absent steps count as zeros, as in `PrimaryCapsule1D`.

    In the mask of the output a step is present if its window sees at least one present step.
    """

    def __init__(self, *args: Any, **kwargs: Any):
        super().__init__(*args, **kwargs)
        self.supports_masking = True

    def call(self, inputs: Any, mask: Any = None) -> Any:
        if inputs.shape[1] == 0:
            raise ValueError(
                f"A series needs one step or more. Received: series of shape {tuple(inputs.shape)}"
            )
        if mask is not None:
            inputs = ops.where(ops.expand_dims(ops.cast(mask, "bool"), -1), inputs, 0.0)
        return super().call(inputs)

    def compute_mask(self, inputs: Any, mask: Any = None) -> Any:
        if mask is None:
            return None
        return present_cells(mask, self.kernel_size, self.strides, self.padding)
