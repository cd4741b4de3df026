"""Implements what convolutional capsules on one and two axes share."""

import math
from typing import Any

import keras
import numpy as np
from keras import ops

from keras_capsules._receptive_fields import ReceptiveFields, grid_argument
from keras_capsules.layers.voting import VotingLayer, poses_shape, split_pair
from keras_capsules.ops import at_least_float32
from keras_capsules.routing._competition import (
    WITHIN_THE_CELL,
    AcrossCells,
    AcrossCellsInTraining,
)
from keras_capsules.routing.votes import ChunkedVotes, Votes
from keras_capsules.routing.votes.chunked import CHUNK
from keras_capsules.routing.votes.transform import matrices_of, votes_of


class ConvCapsule(VotingLayer):
    """Implements `ConvCapsule1D` and `ConvCapsule2D`, which set the number of grid axes."""

    rank: int

    def __init__(
        self,
        num_capsules: int,
        capsule_dim: int,
        kernel_size,
        strides=1,
        padding: str = "valid",
        routing="dynamic",
        transform: str = "dense",
        coordinate_addition: bool = False,
        share_weights: bool = False,
        use_bias: bool = False,
        kernel_initializer="vote_scaling",
        kernel_regularizer=None,
        kernel_constraint=None,
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
        if padding not in ("valid", "same"):
            raise ValueError(f'`padding` must be "valid" or "same". Received: padding={padding!r}')
        self.kernel_size = grid_argument("kernel_size", kernel_size, self.rank)
        self.strides = grid_argument("strides", strides, self.rank)
        self.padding = padding
        self.coordinate_addition = coordinate_addition
        self._coordinate_components()

    def build(self, input_shape: Any) -> None:
        batch, *_, num_in, in_dim = self._check_shape(input_shape)
        # Made here, because torch.compile cannot trace how they are made.
        self.fields = fields = self._fields(input_shape)
        self.competitions = self._competitions(fields)
        children = fields.window_size * num_in
        self._add_weights(self.kernel_size, (num_in,), in_dim, children)
        self._build_routing(batch, children, in_dim)
        self.built = True

    def call(self, inputs: Any, return_coupling: bool = False, training: Any = False) -> Any:
        poses, activations = split_pair(inputs)
        *_, num_in, in_dim = self._check_shape(poses.shape)
        fields, competitions = self.fields, self.competitions
        if tuple(poses.shape[1 : 1 + self.rank]) != fields.grid:
            fields = self._fields(poses.shape)
            competitions = self._competitions(fields)
        children = fields.window_size * num_in
        # Cells become entries of the batch, and the children in their windows its axis of children.
        poses = ops.reshape(poses, (-1, fields.grid_size, num_in * in_dim))
        poses = ops.reshape(fields.gather(poses), (-1, children, in_dim))
        if activations is not None:
            activations = ops.reshape(activations, (-1, fields.grid_size, num_in))
            activations = ops.reshape(fields.gather(activations), (-1, children))
        votes = self._votes(poses, fields, competitions[bool(training)], training)
        parents, presence, coupling = self.routing.call_parents_first(votes, activations, poses)
        grid = (-1, *fields.cells)
        output = ops.reshape(parents, (*grid, self.num_capsules, self.capsule_dim))
        if self.routing.explicit_activations:
            output = (output, ops.reshape(presence, (*grid, self.num_capsules)))
        if not return_coupling:
            return output
        coupling = ops.reshape(coupling, (*grid, fields.window_size, num_in * self.num_capsules))
        if not fields.complete:
            present = fields.present.reshape(*fields.cells, fields.window_size, 1)
            coupling = ops.where(present, coupling, 0.0)
        return output, ops.reshape(coupling, (*grid, children, self.num_capsules))

    def compute_output_shape(self, input_shape: Any) -> Any:
        cells = self._fields(input_shape).cells
        poses = (poses_shape(input_shape)[0], *cells, self.num_capsules, self.capsule_dim)
        return (poses, poses[:-1]) if self.routing.explicit_activations else poses

    def get_config(self) -> dict[str, Any]:
        return {
            **super().get_config(),
            "kernel_size": self.kernel_size,
            "strides": self.strides,
            "padding": self.padding,
            "coordinate_addition": self.coordinate_addition,
        }

    def _coupling_shape(self, input_shape):
        batch, *_, num_in, _ = poses_shape(input_shape)
        fields = self._fields(input_shape)
        return (batch, *fields.cells, fields.window_size * num_in, self.num_capsules)

    def _check_shape(self, input_shape):
        shape = poses_shape(input_shape)
        if len(shape) != self.rank + 3 or None in shape[1:]:
            axes = ("length",) if self.rank == 1 else ("height", "width")
            raise ValueError(
                f"{self.name} expects a grid of capsules (batch, {', '.join(axes)}, types, in_dim) "
                f"of known size. Put a PrimaryCapsule{self.rank}D before it, and fix the size of "
                f"its input. Received: shape={shape}"
            )
        return shape

    def _fields(self, input_shape):
        grid = self._check_shape(input_shape)[1 : 1 + self.rank]
        return ReceptiveFields(grid, self.kernel_size, self.strides, self.padding)

    def _competitions(self, fields):
        """Returns what divides a child among parents, in inference and in training."""
        if self.routing.competes_across_cells:
            return AcrossCells(fields), AcrossCellsInTraining(fields)
        return WITHIN_THE_CELL, WITHIN_THE_CELL

    def _votes(self, poses, fields, competition, training) -> Votes:
        """Returns the votes of the children `(batch * num_cells, window_size * num_in, in_dim)`."""
        routing, cells, children = self.routing, math.prod(fields.cells), poses.shape[1]
        size = self.num_capsules * children * self.capsule_dim
        many = cells * size > _most_stored(routing)
        if not (many and training and routing.shares_gradient):
            return routing.stored(self._stored_votes(poses, fields), training, competition)
        kernel, offset = self._kernel(), self._offset(children)
        if self.share_weights:
            kernel = ops.tile(kernel, (fields.window_size, 1, 1, 1))
        if offset is not None:
            shape = (self.num_capsules, children, self.capsule_dim)
            offset = ops.broadcast_to(offset, shape)
        chunks = (cells // count for count in range(1, cells + 1) if cells % count == 0)
        return ChunkedVotes(
            at_least_float32(poses),
            at_least_float32(kernel),
            self.rows,
            next(chunk for chunk in chunks if chunk * size <= CHUNK or chunk == 1),
            routing.expected_sums,
            offset,
            None if offset is None else self._present(poses, fields),
            self.compute_dtype,
            competition,
        )

    def _stored_votes(self, poses, fields):
        """Returns the votes as a tensor `(batch * num_cells, num_capsules, children, dim)`."""
        children, in_dim = poses.shape[1:]
        if self.share_weights:  # All positions of a window go through one kernel, like the batch.
            num_in = children // fields.window_size
            by_position = ops.reshape(poses, (-1, num_in, in_dim))
            votes = votes_of(by_position, matrices_of(self._kernel()), self.num_capsules)
            windows = (-1, fields.window_size, self.num_capsules, num_in, self.capsule_dim)
            votes = ops.transpose(ops.reshape(votes, windows), (0, 2, 1, 3, 4))
            votes = ops.reshape(votes, (-1, self.num_capsules, children, self.capsule_dim))
        else:
            votes = votes_of(poses, matrices_of(self._kernel()), self.num_capsules)
        offset = self._offset(children)
        if offset is None:
            return votes
        votes = votes + ops.cast(offset, votes.dtype)
        if fields.complete:
            return votes
        return ops.where(ops.cast(self._present(poses, fields)[:, None], "bool"), votes, 0.0)

    def _kernel(self):
        """Returns the kernel `(window_size * num_in, ...)`, or `(num_in, ...)` if it is shared."""
        return ops.reshape(self.kernel, (-1, *self.kernel.shape[self.rank + 1 :]))

    def _offset(self, children):
        """Returns what is added to the votes `(num_capsules, children, capsule_dim)`, or `None`.

        Axes along which it does not change have the size 1.
        """
        offset = None if self.bias is None else at_least_float32(self.bias)[:, None]
        if not self.coordinate_addition:
            return offset
        coordinates = self._coordinates(children // math.prod(self.kernel_size))
        coordinates = ops.convert_to_tensor(coordinates[None])
        return coordinates if offset is None else offset + coordinates

    def _present(self, poses, fields):
        """Returns ones `(batch * num_cells, children, 1)`, and zeros beyond the grid's edge.

        Children beyond the edge do not vote, neither by a bias nor by a coordinate.
        """
        ones = at_least_float32(ops.ones_like(poses[..., :1]))
        if fields.complete:
            return ones
        children = poses.shape[1]
        windows = fields.present.reshape(-1, fields.window_size)
        present = np.repeat(windows, children // fields.window_size, axis=1)
        present = ops.where(present, ops.reshape(ones, (-1, *present.shape)), 0.0)
        return ops.reshape(present, (-1, children, 1))

    def _coordinate_components(self):
        """Returns the components of a vote to which a coordinate is added."""
        side = math.isqrt(self.capsule_dim)
        last = self.transform == "matrix"
        components = [axis * side + side - 1 if last else axis for axis in range(self.rank)]
        if self.coordinate_addition and components[-1] >= self.capsule_dim:
            raise ValueError(
                f"`coordinate_addition` needs {self.rank} components of a pose to add to. "
                f"Received: capsule_dim={self.capsule_dim}"
            )
        return components

    def _coordinates(self, num_in):
        """Returns each child's position in its window, `(window_size * num_in, capsule_dim)`.

        Coordinates are from 0 to 1. The components without a coordinate are 0.
        """
        centers = [(np.arange(size) + 0.5) / size for size in self.kernel_size]
        coordinates = np.zeros((*self.kernel_size, num_in, self.capsule_dim), "float32")
        for axis, component in enumerate(self._coordinate_components()):
            shape = [1] * (self.rank + 1)
            shape[axis] = -1
            coordinates[..., component] = centers[axis].reshape(shape)
        return coordinates.reshape(-1, self.capsule_dim)


def _most_stored(routing):
    """Returns the number of votes of a sample up to which training stores them."""
    # A fit reads votes again and again, and gains at once. Sums gain only memory. TensorFlow does
    # not compile on a CPU, unless it is told to, and is then faster with few calls.
    gains = routing.fits_votes and keras.config.backend() != "tensorflow"
    return CHUNK if gains else 64 * CHUNK
