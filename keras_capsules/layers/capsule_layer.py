"""The fully connected capsule layer: every child votes for every parent."""

import math

import keras
from keras import ops

from keras_capsules.initializers import VoteScaling
from keras_capsules.routing import get as get_routing


@keras.saving.register_keras_serializable(package="keras_capsules")
class CapsuleLayer(keras.layers.Layer):
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

    Call arguments:
        inputs: The children's poses, `(batch, num_in, in_dim)` or a grid
            `(batch, height, width, types, in_dim)`, which is flattened. For a routing with
            explicit activations the pair `(poses, activations)`.
        mask: Boolean tensor `(batch, num_in)`. `True` where a child is present.
        return_coupling: Boolean. Whether to return the coupling as well. Defaults to `False`.

    Output shape:
        Poses `(batch, num_capsules, capsule_dim)`; for a routing with explicit activations the
        pair of these and of activations `(batch, num_capsules)`. With `return_coupling=True` the
        pair of that and of the coupling `(batch, num_in, num_capsules)`.

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
        **kwargs,
    ):
        for name, value in (("num_capsules", num_capsules), ("capsule_dim", capsule_dim)):
            if not isinstance(value, int) or value < 1:
                raise ValueError(f"`{name}` must be a positive integer. Received: {name}={value!r}")
        if transform not in ("dense", "matrix"):
            raise ValueError(
                f'`transform` must be "dense" or "matrix". Received: transform={transform!r}'
            )
        if transform == "matrix" and math.isqrt(capsule_dim) ** 2 != capsule_dim:
            raise ValueError(
                'With transform="matrix" a pose is a square matrix, so `capsule_dim` must be a '
                f"square such as 4, 9 or 16. Received: capsule_dim={capsule_dim}"
            )
        super().__init__(**kwargs)
        self.num_capsules = num_capsules
        self.capsule_dim = capsule_dim
        options = {"dtype": self.dtype_policy} if isinstance(routing, str) else {}
        self.routing = get_routing(routing, **options)
        self.transform = transform
        self.share_weights = share_weights
        self.use_bias = use_bias
        if kernel_initializer == "vote_scaling":
            kernel_initializer = VoteScaling()
        self.kernel_initializer = keras.initializers.get(kernel_initializer)
        self.kernel_regularizer = keras.regularizers.get(kernel_regularizer)
        self.kernel_constraint = keras.constraints.get(kernel_constraint)
        self.supports_masking = True

    def build(self, input_shape):
        batch, num_in, in_dim = self._children_shape(input_shape)
        matrix = self.transform == "matrix"
        rows, columns = [math.isqrt(self.capsule_dim)] * 2 if matrix else (in_dim, self.capsule_dim)
        if matrix and in_dim != self.capsule_dim:
            raise ValueError(
                "With transform=\"matrix\" a child's pose is a matrix of the size of its parent's: "
                f"expected poses of {self.capsule_dim} components. "
                f"Received: input_shape={input_shape}"
            )
        self.kernel = self.add_weight(
            name="kernel",
            shape=(1 if self.share_weights else num_in, self.num_capsules, rows, columns),
            initializer=self._initialize_kernel(num_in),
            regularizer=self.kernel_regularizer,
            constraint=self.kernel_constraint,
        )
        self.bias = None
        if self.use_bias:
            self.bias = self.add_weight(
                name="bias", shape=(self.num_capsules, self.capsule_dim), initializer="zeros"
            )
        if not self.routing.built:  # It is, where the layer is loaded from a file.
            votes_shape = (batch, num_in, self.num_capsules, self.capsule_dim)
            poses_shape = [(batch, num_in, in_dim)] * self.routing.needs_poses
            self.routing.build(votes_shape, *poses_shape)
        self.built = True

    def call(self, inputs, mask=None, return_coupling=False):
        poses, activations = inputs if isinstance(inputs, (tuple, list)) else (inputs, None)
        if isinstance(mask, (tuple, list)):  # Keras hands over one mask for each input.
            mask = mask[0]
        num_in, in_dim = self._children_shape(poses.shape)[1:]
        if len(poses.shape) == 5:
            poses = ops.reshape(poses, (-1, num_in, in_dim))
            if activations is not None:
                activations = ops.reshape(activations, (-1, num_in))
        result = self.routing.call_parents_first(self._votes(poses), activations, poses, mask)
        output = result.poses
        if self.routing.explicit_activations:
            output = (result.poses, result.activations)
        return (output, result.coupling) if return_coupling else output

    def compute_mask(self, inputs, mask=None):
        return None  # Every parent is present, whichever children were not.

    def compute_output_shape(self, input_shape):
        batch = self._children_shape(input_shape)[0]
        poses = (batch, self.num_capsules, self.capsule_dim)
        return (poses, poses[:2]) if self.routing.explicit_activations else poses

    def compute_output_spec(self, inputs, mask=None, return_coupling=False):
        input_shape = keras.tree.map_structure(lambda tensor: tensor.shape, inputs)
        shape = self.compute_output_shape(input_shape)
        if return_coupling:
            batch, num_in, _ = self._children_shape(input_shape)
            shape = (shape, (batch, num_in, self.num_capsules))
        return keras.tree.map_shape_structure(
            lambda size: keras.KerasTensor(size, self.compute_dtype), shape
        )

    def get_config(self):
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
        }

    def _children_shape(self, input_shape):
        """Returns `(batch, num_in, in_dim)` of flat or gridded poses, or says what is wrong."""
        paired = isinstance(input_shape[0], (tuple, list))
        shape = tuple(input_shape[0] if paired else input_shape)
        if len(shape) not in (3, 5):
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

    def _initialize_kernel(self, num_in):
        """Draws a shared kernel as one of the `num_in` that would stand in its place.

        Where their number is unknown, `num_capsules**2` of them make votes of the poses' length.
        """

        def initialize(shape, dtype=None):
            children = num_in or self.num_capsules**2
            return self.kernel_initializer((children, *shape[1:]), dtype=dtype)[: shape[0]]

        return initialize if self.share_weights else self.kernel_initializer

    def _votes(self, poses):
        """Computes the votes `(batch, num_capsules, num_in, capsule_dim)`.

        One batched matmul over the children, with the batch among its rows: each kernel is read
        once for the whole batch, and no product is larger than the votes themselves.
        """
        num_in = poses.shape[1] or ops.shape(poses)[1]
        rows = math.isqrt(self.capsule_dim) if self.transform == "matrix" else 1
        size, columns = poses.shape[2] // rows, self.capsule_dim // rows
        kernel = ops.transpose(self.kernel, (0, 2, 1, 3))
        kernel = ops.reshape(kernel, (-1, size, self.num_capsules * columns))
        children = ops.transpose(poses, (1, 0, 2))
        if rows == 1:
            votes = ops.matmul(children, kernel)
            votes = ops.reshape(votes, (num_in, -1, self.num_capsules, columns))
            votes = ops.transpose(votes, (1, 2, 0, 3))
        else:  # The rows of a pose go through the kernel like members of the batch.
            votes = ops.matmul(ops.reshape(children, (num_in, -1, size)), kernel)
            votes = ops.reshape(votes, (num_in, -1, rows, self.num_capsules, columns))
            votes = ops.transpose(votes, (1, 3, 0, 2, 4))
            votes = ops.reshape(votes, (-1, self.num_capsules, num_in, self.capsule_dim))
        return votes if self.bias is None else votes + self.bias[:, None, :]
