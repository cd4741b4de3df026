"""Provides the kernel, bias and routing that all voting layers share."""

import math
import weakref
from typing import Any

import keras
from keras import ops

from keras_capsules._arguments import positive_integer
from keras_capsules.initializers import VoteScaling
from keras_capsules.routing import Routing
from keras_capsules.routing import get as get_routing

# Routings that a layer has. Another layer takes a copy: with shared weights a model does not load.
_OWNED: weakref.WeakSet[Routing] = weakref.WeakSet()


class VotingLayer(keras.layers.Layer):
    """Base of `CapsuleLayer` and of the convolutional capsules, with kernel, bias and routing."""

    transforms: tuple[str, ...] = ("dense", "matrix")

    def __init__(
        self,
        num_capsules: int,
        capsule_dim: int,
        routing="dynamic",
        transform: str = "dense",
        share_weights: bool = False,
        use_bias: bool = False,
        kernel_initializer="vote_scaling",
        kernel_regularizer=None,
        kernel_constraint=None,
        bias_initializer="zeros",
        **kwargs,
    ):
        num_capsules = positive_integer("num_capsules", num_capsules)
        capsule_dim = positive_integer("capsule_dim", capsule_dim)
        if transform not in self.transforms:
            known = '", "'.join(self.transforms[:-1]) + f'" or "{self.transforms[-1]}"'
            raise ValueError(f'`transform` must be "{known}. Received: transform={transform!r}')
        if transform == "matrix" and math.isqrt(capsule_dim) ** 2 != capsule_dim:
            raise ValueError(
                'With transform="matrix" a pose is a square matrix, so `capsule_dim` must be a '
                f"square such as 4, 9 or 16. Received: capsule_dim={capsule_dim}"
            )
        super().__init__(**kwargs)
        self.num_capsules = num_capsules
        self.capsule_dim = capsule_dim
        options = {"dtype": self.dtype_policy} if isinstance(routing, str) else {}
        if isinstance(routing, Routing) and routing in _OWNED:
            routing = type(routing).from_config(routing.get_config())
        self.routing = get_routing(routing, **options)
        _OWNED.add(self.routing)
        self.transform = transform
        self.share_weights = share_weights
        self.use_bias = use_bias
        if kernel_initializer == "vote_scaling":
            kernel_initializer = VoteScaling(**self.routing.vote_scaling)
        self.kernel_initializer = _initializer(kernel_initializer)
        self.kernel_regularizer = keras.regularizers.get(kernel_regularizer)
        self.kernel_constraint = keras.constraints.get(kernel_constraint)
        self.bias_initializer = keras.initializers.get(bias_initializer)
        # The kernel multiplies a p x p pose as p rows of p components, and a vector as one row.
        self.rows = math.isqrt(capsule_dim) if transform == "matrix" else 1

    def compute_output_spec(
        self, inputs: Any, mask: Any = None, return_coupling: bool = False, training: Any = False
    ) -> Any:
        self.routing.check_activations(split_pair(inputs)[1])
        input_shape = keras.tree.map_structure(lambda tensor: tensor.shape, inputs)
        shape = self.compute_output_shape(input_shape)
        if return_coupling:
            shape = (shape, self._coupling_shape(input_shape))
        return keras.tree.map_shape_structure(
            lambda size: keras.KerasTensor(size, self.compute_dtype), shape
        )

    def get_config(self) -> dict[str, Any]:
        return {
            **super().get_config(),
            "num_capsules": self.num_capsules,
            "capsule_dim": self.capsule_dim,
            "routing": keras.saving.serialize_keras_object(self.routing),
            "transform": self.transform,
            "share_weights": self.share_weights,
            "use_bias": self.use_bias,
            "kernel_initializer": keras.initializers.serialize(self.kernel_initializer),
            "kernel_regularizer": keras.regularizers.serialize(self.kernel_regularizer),
            "kernel_constraint": keras.constraints.serialize(self.kernel_constraint),
            "bias_initializer": keras.initializers.serialize(self.bias_initializer),
        }

    def _add_weights(self, positions, types, in_dim, num_children):
        """Adds the kernel, whose first axes are `positions` and `types`, and the bias.

        Args:
            positions: Tuple of integers. Axes of the children's positions. With `share_weights` all
                positions share one kernel, and each of these axes is 1.
            types: Tuple of integers. Axes of the types of children. Each type has a separate
                kernel, except with `transform="convolution"`, where each of these axes is 1.
            in_dim: Integer. Size of a child's pose.
            num_children: Integer. Number of children that vote for a parent.
        """
        if self.transform == "matrix" and in_dim != self.capsule_dim:
            raise ValueError(
                "With transform=\"matrix\" a child's pose is a matrix of the size of its parent's: "
                f"expected poses of {self.capsule_dim} components. Received: poses of {in_dim}"
            )
        initializer = self.kernel_initializer
        if self.share_weights:
            initializer = self._shared_initializer(types, num_children)
            positions = (1,) * len(positions)
        if self.transform == "convolution":
            initializer = self._summing_initializer(positions, types)
            types = (1,) * len(types)
        sizes = (self.num_capsules, in_dim // self.rows, self.capsule_dim // self.rows)
        self.kernel = self.add_weight(
            name="kernel",
            shape=(*positions, *types, *sizes),
            initializer=initializer,
            regularizer=self.kernel_regularizer,
            constraint=self.kernel_constraint,
        )
        self.bias = None
        if self.use_bias:
            self.bias = self.add_weight(
                name="bias",
                shape=(self.num_capsules, self.capsule_dim),
                initializer=self.bias_initializer,
            )

    def _check_fit(self, shape, number, children):
        """Raises if the kernel is for children of another number or size."""
        if not self.built or self.kernel is None:
            return
        *_, known, _, size, _ = self.kernel.shape
        in_dim = size * self.rows
        if shape[-1] != in_dim or number not in (None, known):
            raise ValueError(
                f"The kernel of {self.name} is for {number and known or 'any'} {children} with "
                f"poses of {in_dim} components. Other children need another layer. "
                f"Received: shape={shape}"
            )

    def _shared_initializer(self, types, num_children):
        """Returns an initializer that draws a shared kernel as if each position had a kernel."""
        initializer, num_positions = self.kernel_initializer, num_children // math.prod(types)
        if isinstance(initializer, VoteScaling):  # It only needs the number of children.
            return lambda shape, dtype=None: initializer(shape, dtype, num_children)

        def draw(shape, dtype=None):
            kernel = shape[-3 - len(types) :]
            return ops.reshape(initializer((num_positions, *kernel), dtype=dtype)[:1], shape)

        return draw

    def _summing_initializer(self, positions, types):
        """Returns an initializer of kernels whose products with all positions are one vote."""
        initializer = self.kernel_initializer
        if not isinstance(initializer, VoteScaling):
            return initializer
        shorter = 1 / math.sqrt(math.prod(positions))
        return lambda shape, dtype=None: shorter * initializer(shape, dtype, math.prod(types))

    def _build_routing(self, batch, num_in, in_dim):
        if self.routing.built:  # The routing is built if the layer was loaded from a file.
            return
        shapes: list[tuple] = [(batch, num_in, self.num_capsules, self.capsule_dim)]
        if self.routing.needs_poses:
            shapes.append((batch, num_in, in_dim))
        try:
            self.routing.build(*shapes)
        except ValueError as error:
            raise ValueError(f"{self.name} cannot build its routing. {error}") from error


def _initializer(identifier: Any) -> Any:
    try:
        return keras.initializers.get(identifier)
    except (TypeError, ValueError) as error:
        if not isinstance(identifier, str):
            raise
        raise ValueError(
            'There is no initializer of this name. Use "vote_scaling", a name that Keras knows, '
            'such as "he_normal", or an instance of keras.initializers.Initializer. '
            f"Received: kernel_initializer={identifier!r}"
        ) from error


def split_pair(inputs: Any) -> tuple:
    """Splits the inputs of a layer into poses and activations, which may be `None`."""
    return tuple(inputs) if isinstance(inputs, (tuple, list)) else (inputs, None)


def check_axes(poses: Any, activations: Any = None, mask: Any = None) -> None:
    """Raises unless there is an activation for each pose, and a mask for each place of a grid."""
    for name, tensor, count in (("activations", activations, -1), ("mask", mask, -2)):
        if tensor is None:
            continue
        shape, expected = tuple(tensor.shape), tuple(poses.shape[:count])
        pairs = zip(shape, expected, strict=False)
        if len(shape) != len(expected) or any(
            None not in pair and len({*pair}) > 1 for pair in pairs
        ):
            raise ValueError(
                f"Beside poses of shape {tuple(poses.shape)}, `{name}` must have the shape "
                f"{expected}. Received: {name}.shape={shape}"
            )


def pair_and_mask(inputs: Any, mask: Any) -> tuple:
    """Splits the inputs of a layer on a grid, and checks that its parts belong together."""
    (poses, activations), mask = split_pair(inputs), first_mask(mask)
    check_axes(poses, activations, mask)
    return poses, activations, mask


def first_mask(mask: Any) -> Any:
    """Returns the mask of the poses, where Keras hands over one mask for each input."""
    return mask[0] if isinstance(mask, (tuple, list)) else mask


def poses_shape(input_shape: Any) -> tuple:
    """Returns the shape of the poses from the shape that a layer is built with."""
    paired = isinstance(input_shape[0], (tuple, list))
    return tuple(input_shape[0] if paired else input_shape)
