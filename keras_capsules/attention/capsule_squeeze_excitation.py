"""Implements squeeze-and-excitation for capsules: a gate for each, from the lengths of all."""

import math
from typing import Any

import keras
from keras import layers, ops

from keras_capsules._shapes import mask_of_children
from keras_capsules.attention._shared_docs import documented
from keras_capsules.attention.gated_layer import GatedLayer
from keras_capsules.ops import capsule_length


@keras.saving.register_keras_serializable(package="keras_capsules")
@documented
class CapsuleSqueezeExcitation(GatedLayer):
    """Weighs each capsule by a gate computed from the lengths of all capsules.

    `z_i = length(pose_i)`, `gates = sigmoid(W2 @ relu(W1 @ z + b1) + b2)`,
    `pose_i' = pose_i * gates_i`

    The length says how present a capsule is, whatever the signs of its pose, and a gate in [0, 1]
    keeps the direction. On a grid each position has separate capsules with separate weights:
    choose the ratio by `height * width * types`.

    Args:
        reduction_ratio: Integer or float. The width of the hidden layer is the number of capsules
            divided by `reduction_ratio`. Defaults to `4`.
        {activation}
        {gate_activation}
        {use_bias}

    Call arguments:
        poses: Tensor `(batch, num_capsules, capsule_dim)`, or a grid
            `(batch, height, width, types, capsule_dim)` or `(batch, length, types, capsule_dim)`,
            whose `num_capsules` is the product of the axes between.
        mask: Boolean tensor `(batch, num_capsules)`, or of the grid's shape, or of its first axes,
            such as `(batch, length)`. Absent capsules do not contribute to the gates of others, and
            their gates and poses are zero.
        {return_gates}

    Output shape:
        The shape of `poses`; with `return_gates=True` the pair of the outputs and of gates
        `(batch, num_capsules)`.

    Raises:
        ValueError: If the rank is not 3 to 5, the number of capsules is unknown, or the ratio is
            not positive.

    Example:

    >>> layer = keras_capsules.CapsuleSqueezeExcitation()
    >>> poses, gates = layer(keras.random.normal((2, 4, 4, 8, 16)), return_gates=True)
    >>> poses.shape, gates.shape
    ((2, 4, 4, 8, 16), (2, 128))

    Reference:
        This library; after Hu, Shen, Albanie, Sun, Wu, 2018, arXiv 1709.01507.
    """

    def __init__(
        self,
        reduction_ratio: float = 4,
        activation="relu",
        gate_activation="sigmoid",
        use_bias: bool = True,
        **kwargs,
    ):
        if reduction_ratio <= 0:
            raise ValueError(
                f"`reduction_ratio` must be positive. Received: reduction_ratio={reduction_ratio!r}"
            )
        super().__init__(**kwargs)
        self.reduction_ratio = reduction_ratio
        self.activation = keras.activations.get(activation)
        self.gate_activation = keras.activations.get(gate_activation)
        self.use_bias = use_bias
        self.supports_masking = True

    def build(self, poses_shape: tuple) -> None:
        if len(poses_shape) not in (3, 4, 5):
            raise ValueError(
                f"{self.name} expects poses (batch, num_capsules, capsule_dim) or a grid "
                "(batch, height, width, types, capsule_dim). "
                f"Received: poses_shape={tuple(poses_shape)}"
            )
        if None in poses_shape[1:-1]:
            raise ValueError(
                f"{self.name} has weights for each capsule, so the number of capsules must be "
                "known. Fix it in the input's shape, or put a SqueezeExcitation, which takes any "
                "size, on the features before the capsules. "
                f"Received: poses_shape={tuple(poses_shape)}"
            )
        capsules = math.prod(poses_shape[1:-1])
        width = max(1, int(capsules / self.reduction_ratio))
        options = {"use_bias": self.use_bias, "dtype": self.dtype_policy}
        self.reduce = layers.Dense(width, activation=self.activation, name="reduce", **options)
        self.excite = layers.Dense(
            capsules, activation=self.gate_activation, name="excite", **options
        )
        self.reduce.build((poses_shape[0], capsules))
        self.excite.build((poses_shape[0], width))
        self.built = True

    def call(self, poses: Any, mask: Any = None, return_gates: bool = False) -> Any:
        shape = tuple(poses.shape[1:])
        capsules = math.prod(shape[:-1])
        flat = ops.reshape(poses, (-1, capsules, shape[-1]))
        if mask is not None:
            mask = mask_of_children(mask, poses)
            flat = ops.where(ops.expand_dims(mask, 2), flat, 0.0)
        gates = self.excite(self.reduce(capsule_length(flat)))
        if mask is not None:
            gates = ops.where(mask, gates, 0.0)
        outputs = ops.reshape(flat * ops.expand_dims(gates, 2), (-1, *shape))
        return (outputs, gates) if return_gates else outputs

    def gates_shapes(self, input_shape: tuple) -> tuple[tuple, ...]:
        return ((input_shape[0], math.prod(input_shape[1:-1])),)

    def compute_output_shape(self, poses_shape: tuple) -> tuple:
        return super().compute_output_shape(poses_shape)

    def compute_output_spec(self, poses: Any, mask: Any = None, return_gates: bool = False) -> Any:
        return super().compute_output_spec(poses, mask, return_gates)

    def get_config(self) -> dict[str, Any]:
        return {
            **super().get_config(),
            "reduction_ratio": self.reduction_ratio,
            "activation": keras.activations.serialize(self.activation),
            "gate_activation": keras.activations.serialize(self.gate_activation),
            "use_bias": self.use_bias,
        }
