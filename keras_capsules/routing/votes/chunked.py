"""Computes votes again for each sum over them, a few entries of the batch at a time."""

from typing import Any, NamedTuple

from keras import ops

from keras_capsules.routing._competition import WITHIN_THE_CELL
from keras_capsules.routing.votes.shared_gradient import SharedGradientVotes
from keras_capsules.routing.votes.transform import (
    gradients_of,
    matrices_of,
    votes_children_last,
    votes_of,
)

# A processor's cache holds about this many numbers. `python -m benchmarks.convolution` shows it.
CHUNK = 2**20


class ChunkedVotes(SharedGradientVotes):
    """Votes of which only a chunk exists at a time; poses and a kernel stand for them.

    `votes_ij = u_i @ kernel_ij (+ present_i * offset_ij)`. The votes of a chunk are computed,
    summed and dropped, for each sum, and so is their gradient. A chunk stays in the processor's
    cache. To compute its votes takes no longer than to read stored votes from memory.

    Args:
        poses: Tensor `(batch, num_in, in_dim)`, float32 or wider.
        kernel: Tensor `(num_in, num_out, in_dim / rows, dim / rows)`, float32 or wider.
        rows: Integer. Number of rows of a pose, which is a matrix, or 1 for vectors.
        chunk: Integer. Entries of the batch in a chunk. The batch is a multiple of it.
        expected_sums: Integer. Expected number of sums, see `gradient_slots`.
        offset: Tensor `(num_out, num_in, dim)` or `None`.
        present: Tensor `(batch, num_in, 1)`, one where a child is present and zero elsewhere. Only
            needed with an `offset`.
        dtype: String or `None`, see `Votes`. `None`, the default, takes the poses' data type.
        competition: Object that divides a child among parents, see `Votes`.
    """

    def __init__(
        self,
        poses: Any,
        kernel: Any,
        rows: int,
        chunk: int,
        expected_sums: int,
        offset: Any = None,
        present: Any = None,
        dtype: str | None = None,
        competition: Any = WITHIN_THE_CELL,
    ):
        num_in, num_out, _, columns = kernel.shape
        shape = (poses.shape[0], num_out, num_in, rows * columns)
        super().__init__(shape, dtype or poses.dtype, ops.expand_dims(poses, 1), competition)
        self.rows = rows
        self.chunk = chunk
        self.poses = poses
        self.kernel = kernel
        self.offset = offset
        self.present_children = present
        # The sources have the children last, transposed here, outside all loops.
        sources = [ops.transpose(poses, (0, 2, 1)), ops.transpose(kernel, (2, 1, 3, 0))]
        if offset is not None:
            sources[0] = ops.concatenate([sources[0], ops.transpose(present, (0, 2, 1))], axis=1)
            sources.append(ops.transpose(offset, (0, 2, 1)))
        self._layout = _Layout(chunk, num_out, poses.shape[2])
        self._share_gradient(expected_sums, *map(_in_order, sources))

    def constant(self) -> "ChunkedVotes":
        offset = None if self.offset is None else ops.stop_gradient(self.offset)
        poses, kernel = ops.stop_gradient(self.poses), ops.stop_gradient(self.kernel)
        return self._with(poses=poses, kernel=kernel, offset=offset)

    def present(self, mask: Any) -> "ChunkedVotes":
        mask = ops.expand_dims(mask, 2)
        present = self.present_children
        present = None if present is None else ops.where(mask, present, 0.0)
        return self._with(poses=ops.where(mask, self.poses, 0.0), present=present)

    def scaled(self, factor: float) -> "ChunkedVotes":
        offset = None if self.offset is None else self.offset * factor
        return self._with(kernel=self.kernel * factor, offset=offset)

    def _with(self, **changes):
        names = ("poses", "kernel", "rows", "chunk", "expected_sums", "offset", "dtype")
        known = {name: getattr(self, name) for name in (*names, "competition")}
        return ChunkedVotes(**{"present": self.present_children, **known, **changes})

    def _applied(self, function, size):
        layout = self._layout

        def evaluate(values, poses, *others):
            def step(last, chunk):
                values, poses = chunk
                votes = layout.votes(poses, *others)
                found = function(values, votes, children_last=True)
                return found, found

            start = ops.zeros((layout.chunk, layout.parents, size), poses.dtype)
            found = ops.scan(step, start, (layout.chunks(values), layout.chunks(poses)))[1]
            return ops.reshape(found, (-1, layout.parents, size))

        return evaluate

    def _backward(self, function):
        layout = self._layout

        def gradient(pairs, poses, kernel, *offset):
            matrices = matrices_of(ops.transpose(kernel, (3, 1, 0, 2)))

            def of_sources(last, chunk):
                pairs, sources = chunk
                poses, present = layout.split(sources)
                poses = ops.transpose(poses, (0, 2, 1))
                votes = votes_of(poses, matrices, layout.parents)
                if offset:
                    present = ops.transpose(present, (0, 2, 1))[:, None]
                    votes = votes + present * ops.transpose(offset[0], (0, 2, 1))
                votes = function(ops.transpose(pairs, (1, 0, 2, 3)), votes)
                found = list(gradients_of(votes, poses, matrices))
                if offset:  # Nothing depends on what is present.
                    found[0] = ops.pad(found[0], [(0, 0), (0, 0), (0, 1)])
                    found.append(ops.sum(votes * present, axis=0))
                return found, found

            chunks = layout.chunks(poses)
            pairs = layout.chunks(ops.transpose(pairs, (1, 0, 2, 3)))
            start = [ops.transpose(chunks[0], (0, 2, 1)), matrices]
            start += [ops.transpose(offset[0], (0, 2, 1))] if offset else []
            of_poses, *others = ops.scan(of_sources, start, (pairs, chunks))[1]
            of_matrices, *of_offset = (ops.sum(part, axis=0) for part in others)
            of_poses = ops.reshape(of_poses, (-1, *start[0].shape[1:]))
            of_kernel = ops.reshape(of_matrices, (*of_matrices.shape[:2], layout.parents, -1))
            return (
                ops.transpose(of_poses, (0, 2, 1)),
                ops.transpose(of_kernel, (1, 2, 3, 0)),
                *(ops.transpose(part, (0, 2, 1)) for part in of_offset),
            )

        return gradient


class _Layout(NamedTuple):
    """How sources are divided. A gradient holds it in place of the votes, see `shared_gradient`."""

    chunk: int
    parents: int
    pose: int

    def votes(self, poses, kernel, offset=None):
        """Computes the votes of a chunk of the sources, `(chunk, num_out, dim, num_in)`."""
        poses, present = self.split(poses)
        votes = votes_children_last(poses, kernel)
        return votes if offset is None else votes + present[:, None] * offset

    def split(self, poses):
        """Splits the source into poses and, with an offset, a row of what is present."""
        return poses[:, : self.pose], poses[:, self.pose :]

    def chunks(self, values):
        return ops.reshape(values, (-1, self.chunk, *ops.shape(values)[1:]))


def _in_order(tensor):
    """Returns the tensor, after PyTorch has moved the entries of a transposed one in memory."""
    return ops.reshape(ops.reshape(tensor, (-1,)), (-1, *tensor.shape[1:]))
