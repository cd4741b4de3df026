"""The fully connected capsule layer: every child votes for every parent."""

import math

import keras
from keras import ops

from keras_capsules.layers.voting import VotingLayer, poses_shape, split_pair
from keras_capsules.ops import at_least_float32, safe_norm
from keras_capsules.routing.votes import LeanVotes, StoredVotes, TrainingVotes, Votes


@keras.saving.register_keras_serializable(package="keras_capsules")
class CapsuleLayer(VotingLayer):
    """Lets each capsule vote for each capsule of the next level, and routes the votes.

    `votes_ij = u_i @ kernel_ij (+ bias_j)`, `poses, activations, coupling = routing(votes)`

    Args:
        num_capsules: Integer. Number of parents.
        capsule_dim: Integer. Size of a parent's pose.
        routing: String, config or `keras_capsules.Routing`. Defaults to `"dynamic"`; the names
            are in `keras_capsules.routing.ROUTINGS`.
        transform: `"dense"` multiplies the child's pose, a vector, by a matrix. `"matrix"` reads
            poses as p x p matrices, `capsule_dim = p**2`, and the vote is `pose @ kernel`.
            Defaults to `"dense"`.
        share_weights: Boolean. Whether all children share one kernel. The number of children may
            then be unknown, or vary from batch to batch. Defaults to `False`.
        use_bias: Boolean. Whether to add a learned vector, one for each parent, to the votes.
            Without it a pose and its negative cannot be told apart. Defaults to `False`.
        kernel_initializer: Initializer of the kernel. Defaults to `"vote_scaling"`, see
            `keras_capsules.VoteScaling`.
        kernel_regularizer: Regularizer of the kernel, or `None`.
        kernel_constraint: Constraint of the kernel, or `None`.
        implementation: `"stored"` computes all votes once. `"lean"` never holds them: it computes
            what the routing needs of them parent by parent, again for each iteration and for the
            gradient. Weights and results are the same. It is for routings that only sum votes: all
            but `em`, `variational_bayes` and `heinsen`. `"auto"` is `"lean"` where it is faster:
            for these routings, where all children share a kernel and their poses are at most 8
            times as large as a parent's. Defaults to `"auto"`.

    Call arguments:
        inputs: The children's poses, `(batch, num_in, in_dim)` or a grid
            `(batch, height, width, types, in_dim)` or `(batch, length, types, in_dim)`, which is
            flattened. For a routing with explicit activations the pair `(poses, activations)`.
        mask: Boolean tensor `(batch, num_in)`. `True` where a child is present.
        return_coupling: Boolean. Whether to return the coupling as well. Defaults to `False`.
        toward: Triple `(poses, coupling, directions)` or `None`. The first two as the layer gave
            them for these inputs, the third a vector for each parent, zero for those of no
            interest. The layer then returns the share that each component of `inputs` has in
            `sum_j poses_j . directions_j`, as a factor of it; see
            `keras_capsules.explain.coupling_map`.

    Output shape:
        Poses `(batch, num_capsules, capsule_dim)`; for a routing with explicit activations the
        pair of these and of activations `(batch, num_capsules)`. With `return_coupling=True` the
        pair of that and of the coupling `(batch, num_in, num_capsules)`. With `toward`
        `(batch, num_in, in_dim)`.

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

    def build(self, input_shape):
        batch, num_in, in_dim = self._children_shape(input_shape)
        # Where their number is unknown, `num_capsules**2` children make votes as long as poses.
        children = num_in or self.num_capsules**2
        self._add_weights((num_in,), (), in_dim, children)
        self._build_routing(batch, num_in, in_dim)
        self.built = True

    def call(self, inputs, mask=None, return_coupling=False, toward=None, training=False):
        poses, activations = split_pair(inputs)
        if isinstance(mask, (tuple, list)):  # Keras hands over one mask for each input.
            mask = mask[0]
        num_in, in_dim = self._children_shape(poses.shape)[1:]
        if len(poses.shape) > 3:
            poses = ops.reshape(poses, (-1, num_in, in_dim))
            if activations is not None:
                activations = ops.reshape(activations, (-1, num_in))
        if self._is_lean(in_dim):
            votes = self._lean_votes(poses, training)
        else:
            votes = self._stored_votes(poses, training)
        if toward is not None:
            return self._factors(votes, *toward)
        result = self.routing.call_parents_first(votes, activations, poses, mask)
        output = result.poses
        if self.routing.explicit_activations:
            output = (result.poses, result.activations)
        return (output, result.coupling) if return_coupling else output

    def compute_mask(self, inputs, mask=None):
        return None  # Every parent is present, whichever children were not.

    def compute_output_spec(
        self, inputs, mask=None, return_coupling=False, toward=None, training=False
    ):
        if toward is None:
            return super().compute_output_spec(inputs, mask, return_coupling)
        shape = self._children_shape(split_pair(inputs)[0].shape)
        return keras.KerasTensor(shape, self.compute_dtype)

    def compute_output_shape(self, input_shape):
        batch = self._children_shape(input_shape)[0]
        poses = (batch, self.num_capsules, self.capsule_dim)
        return (poses, poses[:2]) if self.routing.explicit_activations else poses

    def get_config(self):
        return {**super().get_config(), "implementation": self.implementation}

    def _coupling_shape(self, input_shape):
        return (*self._children_shape(input_shape)[:2], self.num_capsules)

    def _children_shape(self, input_shape):
        """Returns `(batch, num_in, in_dim)` of flat or gridded poses, or says what is wrong."""
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
        if in_dim is None or (unknown and not (self.share_weights and len(shape) == 3)):
            raise ValueError(
                f"{self.name} needs the number of children and the size of their poses to create "
                "its kernel. Fix them in the input's shape; with `share_weights=True` the number "
                f"of children in (batch, num_in, in_dim) may stay open. Received: shape={shape}"
            )
        if num_in == 0:
            raise ValueError(
                f"{self.name} needs at least one child capsule. The grid before it is empty: use "
                f"a larger image, or smaller kernels and strides. Received: shape={shape}"
            )
        return batch, num_in, in_dim

    def _factors(self, votes, poses, coupling, directions):
        """Computes `g_i = sum_j c_ij |v_j| / |s_j| kernel_ij @ d_j`, `s_j = sum_i c_ij votes_ij`.

        Where `v_j` is `s_j` but for its length, `sum_i g_i . u_i` is `sum_j v_j . d_j` without
        what the bias adds to it.
        """
        coupling = ops.transpose(at_least_float32(coupling), (0, 2, 1))
        lengths = safe_norm(votes.combine(coupling), keepdims=True)
        directions = at_least_float32(directions) * safe_norm(poses, keepdims=True) / lengths
        num_in, columns = votes.shape[2], self.capsule_dim // self.rows
        split = ops.reshape(directions, (-1, self.num_capsules, 1, self.rows, columns))
        weighted = split * ops.expand_dims(coupling, (3, 4))
        # One batched matmul over the children; the rows of a pose are members of the batch.
        weighted = ops.transpose(weighted, (2, 0, 3, 1, 4))
        weighted = ops.reshape(weighted, (num_in, -1, self.num_capsules * columns))
        kernel = ops.transpose(at_least_float32(self.kernel), (0, 1, 3, 2))
        kernel = ops.reshape(kernel, (-1, self.num_capsules * columns, kernel.shape[3]))
        in_dim = self.rows * kernel.shape[2]
        factors = ops.reshape(ops.matmul(weighted, kernel), (num_in, -1, in_dim))
        return ops.cast(ops.transpose(factors, (1, 0, 2)), self.compute_dtype)

    def _is_lean(self, in_dim):
        if self.implementation != "auto":
            return self.implementation == "lean"
        # `python -m benchmarks.layers --what implementation` justifies the limit.
        small = in_dim <= 8 * self.capsule_dim
        return self.share_weights and self.routing.sums_votes and small

    def _stored_votes(self, poses, training) -> Votes:
        votes, expected_sums = self._votes(poses, self.kernel), self.routing.expected_sums
        votes = votes if self.bias is None else votes + self.bias[:, None, :]
        if training and expected_sums > 1:
            return TrainingVotes(votes, expected_sums)
        return StoredVotes(votes)

    def _lean_votes(self, poses, training) -> Votes:
        num_in, in_dim = poses.shape[1:]
        rows = (-1, num_in or ops.shape(poses)[1], self.rows, in_dim // self.rows)
        # A tensor, for TensorFlow takes no variables where the gradient is our own.
        kernel = ops.reshape(self.kernel, self.kernel.shape)
        return LeanVotes(
            ops.transpose(ops.reshape(at_least_float32(poses), rows), (0, 2, 1, 3)),
            at_least_float32(kernel),
            self.routing.expected_sums,
            bias=None if self.bias is None else at_least_float32(self.bias),
            dtype=self.compute_dtype,
            unroll=not training,
        )
