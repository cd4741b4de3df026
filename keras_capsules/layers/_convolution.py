"""Implements what convolutional capsules on one and two axes share."""

import math
from typing import Any

import keras
from keras import ops

from keras_capsules._receptive_fields import (
    ReceptiveFields,
    cells_of,
    grid_argument,
    present_cells,
)
from keras_capsules._shapes import sizes_of
from keras_capsules.layers._coordinates import coordinate_components, coordinates_of
from keras_capsules.layers._votes_of_types import check_convolution, votes_of_types
from keras_capsules.layers.voting import VotingLayer, first_mask, pair_and_mask, poses_shape
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
    transforms = ("dense", "matrix", "convolution")

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
        if coordinate_addition:
            coordinate_components(self.rank, self.capsule_dim, transform)
        if transform == "convolution":
            check_convolution(self.routing, share_weights, coordinate_addition)
        self.supports_masking = True

    def build(self, input_shape: Any) -> None:
        batch, *grid, num_in, in_dim = self._check_shape(input_shape)
        self._cells(input_shape)  # Raises if the kernel is larger than the grid.
        self.fields, self.competitions = None, ()
        if None not in grid and self.transform != "convolution":
            # Made here, because torch.compile cannot trace how they are made.
            self.fields = fields = self._fields(grid)
            self.competitions = tuple(self._competition(fields, each) for each in (False, True))
        children = self._num_children(num_in)
        self._add_weights(self.kernel_size, (num_in,), in_dim, children)
        self._build_routing(batch, children, in_dim)
        self.built = True

    def call(
        self, inputs: Any, mask: Any = None, return_coupling: bool = False, training: Any = False
    ) -> Any:
        poses, activations, mask = pair_and_mask(inputs, mask)
        *_, num_in, in_dim = self._check_shape(poses.shape)
        if self.transform == "convolution":
            return self._call_on_types(poses, activations, mask, return_coupling, training)
        if self.fields is not None and self.fields.grid == tuple(poses.shape[1:-2]):
            fields, competition = self.fields, self.competitions[bool(training)]
        else:
            fields = self._fields(sizes_of(poses)[:-2])
            competition = self._competition(fields, training)
        children = fields.window_size * num_in
        # Cells become entries of the batch, and the children in their windows its axis of children.
        poses = ops.reshape(poses, (-1, fields.grid_size, num_in * in_dim))
        poses = ops.reshape(fields.gather(poses), (-1, children, in_dim))
        if activations is not None:
            activations = ops.reshape(activations, (-1, fields.grid_size, num_in))
            activations = ops.reshape(fields.gather(activations), (-1, children))
        if mask is not None:
            mask = ops.reshape(ops.cast(mask, "float32"), (-1, fields.grid_size))
            mask = ops.reshape(fields.gather(mask), (-1, fields.window_size))
            mask = ops.repeat(mask > 0.5, num_in, axis=1)
        votes = self._votes(poses, fields, competition, training)
        parents, presence, coupling = self.routing.call_parents_first(
            votes, activations, poses, mask
        )
        grid = (-1, *fields.cells)
        output = self._grid_of(parents, grid)
        if self.routing.explicit_activations:
            output = (output, ops.reshape(presence, (*grid, self.num_capsules)))
        if not return_coupling:
            return output
        coupling = ops.reshape(coupling, (*grid, fields.window_size, num_in * self.num_capsules))
        if not fields.complete:
            shape = (*fields.cells, fields.window_size, 1)
            present = fields.library.reshape(fields.present, shape)
            coupling = ops.where(present, coupling, 0.0)
        return output, ops.reshape(coupling, (*grid, children, self.num_capsules))

    def _call_on_types(self, poses, activations, mask, return_coupling, training):
        """Routes, in each cell, the votes that all children of a type in its window cast as one."""
        types = poses.shape[-2]
        if mask is not None:
            present = ops.cast(mask, "bool")
            poses = ops.where(ops.expand_dims(present, (-2, -1)), poses, 0.0)
            mask = ops.reshape(self.compute_mask(poses, present), (-1, 1))
            mask = ops.repeat(mask, types, axis=1)
        kernel = ops.squeeze(self.kernel, self.rank)
        cells = self._cells((None, *sizes_of(poses)))
        votes = votes_of_types(poses, ops.cast(kernel, poses.dtype), cells, self._convolve)
        if self.bias is not None:
            votes = votes + ops.cast(self.bias[:, None], votes.dtype)
        parents, _, coupling = self.routing.call_parents_first(
            self.routing.stored(votes, training), activations, None, mask
        )
        grid = (-1, *cells)
        output, coupling_shape = self._grid_of(parents, grid), (*grid, types, self.num_capsules)
        return (output, ops.reshape(coupling, coupling_shape)) if return_coupling else output

    def _grid_of(self, parents, grid):
        return ops.reshape(parents, (*grid, self.num_capsules, self.capsule_dim))

    def compute_mask(self, inputs: Any, mask: Any = None) -> Any:
        mask = first_mask(mask)
        if mask is None:
            return None
        cells = present_cells(mask, self.kernel_size, self.strides, self.padding)
        return (cells, cells) if self.routing.explicit_activations else cells

    def compute_output_shape(self, input_shape: Any) -> Any:
        cells = self._cells(input_shape)
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
        children = self._num_children(num_in)
        return (batch, *self._cells(input_shape), children, self.num_capsules)

    def _check_shape(self, input_shape):
        shape = poses_shape(input_shape)
        if len(shape) != self.rank + 3 or None in shape[-2:]:
            axes = ("length",) if self.rank == 1 else ("height", "width")
            raise ValueError(
                f"{self.name} expects a grid of capsules (batch, {', '.join(axes)}, types, in_dim) "
                "with a known number of types and size of poses, which fix its kernel. Put a "
                f"PrimaryCapsule{self.rank}D before it. Received: shape={shape}"
            )
        types = None if self.transform == "convolution" else shape[-2]
        self._check_fit(shape, types, "types of children")
        return shape

    def _num_children(self, num_in):
        return num_in * (1 if self.transform == "convolution" else math.prod(self.kernel_size))

    def _convolve(self, features, kernel):
        """Convolves features `(batch, *grid, channels)`."""
        return ops.conv(features, kernel, self.strides, self.padding, "channels_last")

    def _fields(self, grid):
        return ReceptiveFields(grid, self.kernel_size, self.strides, self.padding)

    def _cells(self, input_shape):
        grid = self._check_shape(input_shape)[1:-2]
        return cells_of(grid, self.kernel_size, self.strides, self.padding)

    def _competition(self, fields, training):
        """Returns what divides a child among parents."""
        if not self.routing.competes_across_cells:
            return WITHIN_THE_CELL
        return AcrossCellsInTraining(fields) if training else AcrossCells(fields)

    def _votes(self, poses, fields, competition, training) -> Votes:
        """Returns the votes of the children `(batch * num_cells, window_size * num_in, in_dim)`."""
        routing, cells, children = self.routing, fields.num_cells, poses.shape[1]
        size = self.num_capsules * children * self.capsule_dim
        # If the number of cells is unknown, no divisor of it is known.
        many = isinstance(cells, int) and cells * size > _most_stored(routing)
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
        types = children // math.prod(self.kernel_size)
        coordinates = coordinates_of(self.kernel_size, types, self.capsule_dim, self.transform)
        coordinates = ops.convert_to_tensor(coordinates[None])
        return coordinates if offset is None else offset + coordinates

    def _present(self, poses, fields):
        """Returns ones `(batch * num_cells, children, 1)`, and zeros beyond the grid's edge.

        Children beyond the edge do not vote, neither by a bias nor by a coordinate.
        """
        ones = at_least_float32(ops.ones_like(poses[..., :1]))
        if fields.complete:
            return ones
        children, library = poses.shape[1], fields.library
        present = library.reshape(fields.present, (-1, fields.window_size))
        present = library.repeat(present, children // fields.window_size, axis=1)
        ones = ops.reshape(ones, (-1, fields.num_cells, children))
        present = ops.where(present, ones, 0.0)
        return ops.reshape(present, (-1, children, 1))


def _most_stored(routing):
    """Returns the number of votes of a sample up to which training stores them."""
    # A fit reads votes again and again, and gains at once. Sums gain only memory. TensorFlow does
    # not compile on a CPU, unless it is told to, and is then faster with few calls.
    gains = routing.fits_votes and keras.config.backend() != "tensorflow"
    return CHUNK if gains else 64 * CHUNK
