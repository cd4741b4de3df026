"""Implements the fully connected capsule layer: every child votes for every parent."""

import math
from typing import Any

import keras
from keras import ops

from keras_capsules._shapes import mask_of_children, sizes_of
from keras_capsules.layers._stored_maps import StoredMaps
from keras_capsules.layers.voting import (
    VotingLayer,
    check_axes,
    first_mask,
    poses_shape,
    split_pair,
)
from keras_capsules.ops import at_least_float32
from keras_capsules.routing.votes import LeanVotes, Votes
from keras_capsules.routing.votes.transform import matrices_of, votes_of

_CACHED = 2**16
"""Numbers in the votes of a sample up to which XLA stores them faster than it repeats them."""


@keras.saving.register_keras_serializable(package="keras_capsules")
class CapsuleLayer(StoredMaps, VotingLayer):
    """Lets each capsule vote for each capsule of the next level, and routes the votes.

    `votes_ij = u_i @ kernel_ij (+ bias_j)`, `poses, activations, coupling = routing(votes)`

    Args:
        num_capsules: Integer. Number of parents.
        capsule_dim: Integer. Size of a parent's pose.
        routing: String, config or `keras_capsules.Routing`. Defaults to `"dynamic"`; the names
            are in `keras_capsules.routing.ROUTINGS`. Several layers that are given one `Routing`
            have separate ones with its options.
        transform: `"dense"` multiplies the child's pose, a vector, by a matrix. `"matrix"` reads
            poses as p x p matrices with `capsule_dim = p**2`, and the vote is `pose @ kernel`.
            Defaults to `"dense"`.
        share_weights: Boolean. Whether all children share one kernel. The number of children may
            then be unknown, or vary from batch to batch, with a routing that has no weights for
            each child. Defaults to `False`.
        use_bias: Boolean. Whether to add a learned vector, one for each parent, to the votes.
            Without it the layer cannot distinguish a pose from its negative. Defaults to `False`.
        kernel_initializer: Initializer of the kernel. Defaults to `"vote_scaling"`, which is
            `keras_capsules.VoteScaling` with the length that fits the routing.
        kernel_regularizer: Regularizer of the kernel, or `None`.
        kernel_constraint: Constraint of the kernel, or `None`.
        implementation: `"stored"` computes all votes once. `"lean"` never stores them: it computes
            the sums that the routing needs parent by parent, again for each iteration and for the
            gradient. Weights and results are the same. `"lean"` is for routings that only sum
            votes, which are all but `em`, `variational_bayes` and `heinsen`. `"auto"` takes
            `"lean"` where it is faster: for these routings, if all children share a kernel and
            their poses are at most 8 times as large as a parent's; and under JAX, if a sample has
            more than 65,536 numbers in its votes, of poses at most half as large as a parent's.
            Defaults to `"auto"`.
        bias_initializer: Initializer of the bias. Defaults to `"zeros"`.

    Call arguments:
        inputs: The children's poses `(batch, num_in, in_dim)`, or a grid
            `(batch, height, width, types, in_dim)` or `(batch, length, types, in_dim)`, which is
            flattened. A routing with explicit activations needs the pair `(poses, activations)`.
        mask: Boolean tensor `(batch, num_in)`, or of the first axes of a grid, such as
            `(batch, length)`. `True` where a child, or all children of a position, are present.
        return_coupling: Boolean. Whether to return the coupling as well. Defaults to `False`.

    Output shape:
        Poses `(batch, num_capsules, capsule_dim)`. A routing with explicit activations returns the
        pair of poses and activations `(batch, num_capsules)`. With `return_coupling=True` the layer
        returns the pair of these outputs and the coupling `(batch, num_in, num_capsules)`.

    Weights:
        `kernel`: `(num_in, num_capsules, in_dim, capsule_dim)`, or
        `(num_in, num_capsules, p, p)` for `transform="matrix"`. The first axis is 1 with
        `share_weights=True`. `bias`: `(num_capsules, capsule_dim)`.

    Raises:
        ValueError: If an argument is out of range, or an input has a rank, a size or a number of
            children that does not fit.

    Example:

    >>> layer = keras_capsules.CapsuleLayer(10, 16)
    >>> poses, coupling = layer(keras.random.normal((2, 32, 8)), return_coupling=True)
    >>> poses.shape, coupling.shape
    ((2, 10, 16), (2, 32, 10))

    References:
        Sabour, Frosst, Hinton, 2017, arXiv 1710.09829 (dense transform).
        Hinton, Sabour, Frosst, ICLR 2018 (matrix transform).
        Peer, Stabinger, Rodriguez-Sanchez, 2021 (the need for a bias).
    """

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
        implementation: str = "auto",
        bias_initializer="zeros",
        **kwargs,
    ):
        super().__init__(
            num_capsules=num_capsules,
            capsule_dim=capsule_dim,
            routing=routing,
            transform=transform,
            share_weights=share_weights,
            use_bias=use_bias,
            kernel_initializer=kernel_initializer,
            kernel_regularizer=kernel_regularizer,
            kernel_constraint=kernel_constraint,
            bias_initializer=bias_initializer,
            **kwargs,
        )
        if implementation not in ("auto", "stored", "lean"):
            raise ValueError(
                '`implementation` must be "auto", "stored" or "lean". '
                f"Received: implementation={implementation!r}"
            )
        if implementation == "lean" and not self.routing.sums_votes:
            raise ValueError(
                f'implementation="lean" is for routings that only sum votes, and '
                f"{type(self.routing).__name__} does more with them. Use "
                'implementation="auto", or a routing such as "dynamic".'
            )
        self.implementation = implementation
        self.supports_masking = True

    def build(self, input_shape: Any) -> None:
        batch, num_in, in_dim = self._children_shape(input_shape)
        # With an unknown number of children, `num_capsules**2` of them make votes as long as poses.
        children = num_in or self.num_capsules**2
        self._add_weights((num_in,), (), in_dim, children)
        self._build_routing(batch, num_in, in_dim)
        self.built = True

    def call(
        self, inputs: Any, mask: Any = None, return_coupling: bool = False, training: Any = False
    ) -> Any:
        poses, activations = split_pair(inputs)
        mask = first_mask(mask)
        if mask is not None:
            mask = mask_of_children(mask, poses)
        if activations is not None and len(activations.shape) > 2:
            check_axes(poses, activations)
            activations = ops.reshape(activations, (-1, math.prod(sizes_of(activations))))
        poses = self._flat(poses)
        votes = self.votes_of(poses, training)
        result = self.routing.call_parents_first(votes, activations, poses, mask)
        output = result.poses
        if self.routing.explicit_activations:
            output = (result.poses, result.activations)
        return (output, result.coupling) if return_coupling else output

    def votes_of(self, poses: Any, training: Any = False) -> Votes:
        """Returns the children's votes in the form that the routing takes.

        Args:
            poses: The children's poses, flat or a grid.
            training: Whether a gradient will be taken.
        """
        poses = self._flat(poses)
        if self._is_lean(*poses.shape[1:]):
            return self._lean_votes(poses, training)
        return self._stored_votes(poses, training)

    def compute_mask(self, inputs: Any, mask: Any = None) -> None:
        return None  # Every parent is present, even where children are absent.

    def compute_output_shape(self, input_shape: Any) -> Any:
        batch = self._children_shape(input_shape)[0]
        poses = (batch, self.num_capsules, self.capsule_dim)
        return (poses, poses[:2]) if self.routing.explicit_activations else poses

    def get_config(self) -> dict[str, Any]:
        return {**super().get_config(), "implementation": self.implementation}

    def _coupling_shape(self, input_shape):
        return (*self._children_shape(input_shape)[:2], self.num_capsules)

    def _children_shape(self, input_shape):
        """Returns the shape `(batch, num_in, in_dim)` for flat or gridded poses, or raises."""
        shape = poses_shape(input_shape)
        if len(shape) not in (3, 4, 5):
            raise ValueError(
                f"{self.name} expects poses of shape (batch, num_in, in_dim) or a grid (batch, "
                "height, width, types, in_dim). Put a PrimaryCapsule2D before it, or reshape. "
                f"Received: shape={shape}"
            )
        batch, *children, in_dim = shape
        unknown = None in children
        num_in = None if unknown else math.prod(children)
        if in_dim is None or (unknown and not self.share_weights):
            raise ValueError(
                f"{self.name} needs the number of children and the size of their poses to create "
                "its kernel. Fix them in the input's shape. With `share_weights=True` the number "
                f"of children may stay open. Received: shape={shape}"
            )
        if num_in == 0:
            raise ValueError(
                f"{self.name} needs at least one child capsule. The grid before it is empty: use "
                f"a larger image, or smaller kernels and strides. Received: shape={shape}"
            )
        self._check_fit(shape, None if self.share_weights else num_in, "children")
        return batch, num_in, in_dim

    def _flat(self, poses):
        """Flattens a grid of poses to `(batch, num_in, in_dim)`."""
        self._children_shape(poses.shape)
        if len(poses.shape) == 3:
            return poses
        *children, in_dim = sizes_of(poses)
        return ops.reshape(poses, (-1, math.prod(children), in_dim))

    def _is_lean(self, num_in, in_dim):
        if self.implementation != "auto" or not self.routing.sums_votes:
            return self.implementation == "lean"
        # `python -m benchmarks.layers --what implementation` justifies the limits.
        if self.share_weights:
            return in_dim <= 8 * self.capsule_dim
        votes = (num_in or 0) * self.num_capsules * self.capsule_dim
        small = 2 * in_dim <= self.capsule_dim
        return keras.config.backend() == "jax" and votes > _CACHED and small

    def _stored_votes(self, poses, training) -> Votes:
        kernel, bias, unit = self.kernel, self.bias, self.routing.unit if training else 1.0
        if unit != 1.0:  # In half precision the kernel would vanish.
            poses, kernel = at_least_float32(poses), at_least_float32(kernel) / unit
            bias = None if bias is None else at_least_float32(bias) / unit
        votes = votes_of(poses, matrices_of(kernel), self.num_capsules)
        votes = votes if bias is None else votes + bias[:, None, :]
        return self.routing.stored(votes, training, dtype=self.compute_dtype, unit=unit)

    def _lean_votes(self, poses, training) -> Votes:
        num_in, in_dim = sizes_of(poses)
        rows = (-1, num_in, self.rows, in_dim // self.rows)
        # A tensor, because TensorFlow does not accept variables in a custom gradient.
        kernel = ops.reshape(self.kernel, self.kernel.shape)
        return LeanVotes(
            ops.transpose(ops.reshape(at_least_float32(poses), rows), (0, 2, 1, 3)),
            at_least_float32(kernel),
            self.routing.expected_sums,
            bias=None if self.bias is None else at_least_float32(self.bias),
            dtype=self.compute_dtype,
            unroll=not training,
        )
