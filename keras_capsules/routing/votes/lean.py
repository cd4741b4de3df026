"""Computes votes again for each sum over them, parent by parent, and never stores them."""

from typing import Any

from keras import ops

from keras_capsules.routing.votes.base import Votes
from keras_capsules.routing.votes.shared_gradient import (
    gradient_slots,
    weighted_agreement,
    weighted_sum,
)


class LeanVotes(Votes):
    """Votes that are never stored; poses and a kernel stand for them.

    `votes_ij = u_i @ kernel_ij + bias_j`. Sums over the votes are computed for one parent after the
    other. So is the gradient of the votes, once for all sums, from the pairs of coupling and
    parents that the sums pass on: `du_i = sum_jk c_ij^k (v_j^k @ kernel_ij^T)`,
    `dkernel_ij = sum_k c_ij^k (u_i^T @ v_j^k)`. Memory holds the poses, the couplings and one
    parent's share at a time. The votes would take `num_out * dim / in_dim` times the memory of the
    poses.

    Args:
        poses: Tensor `(batch, rows, num_in, in_dim)`.
        kernel: Tensor `(num_in, num_out, in_dim, columns)`, or with 1 in place of `num_in`.
        expected_sums: Integer. Expected number of sums, see `gradient_slots`.
        bias: Tensor `(num_out, rows * columns)` or `None`.
        presence: Tensor `(batch, 1, num_in)`, zero where a child is absent, or `None`.
        dtype: String or `None`, see `Votes`. `None`, the default, takes the poses' data type.
        unroll: Boolean. Whether to unroll the loop over the parents, which leaves no loop in the
            graph. Compiled training takes less memory with a loop.
    """

    def __init__(
        self,
        poses: Any,
        kernel: Any,
        expected_sums: int,
        bias: Any = None,
        presence: Any = None,
        dtype: str | None = None,
        unroll: bool = False,
    ):
        self.rows, num_in = poses.shape[1:3]
        self.num_out, self.columns = kernel.shape[1], kernel.shape[3]
        shape = (poses.shape[0], self.num_out, num_in, self.rows * self.columns)
        super().__init__(shape, dtype or poses.dtype, poses)
        sizes = (ops.shape(poses)[0], *shape[1:3])
        self.poses = poses
        self.kernel = kernel
        self.expected_sums = expected_sums
        self.bias = bias
        self.presence = presence
        self.unroll = unroll
        self.shared = kernel.shape[0] == 1
        self._slots = gradient_slots(
            expected_sums, sizes, shape[3], _sources_gradient, poses, kernel
        )

    def combine(self, coupling: Any) -> Any:
        parents = self._shared_sums(coupling) if self.shared else self._own_sums(coupling)
        if self.bias is None:
            return parents
        if self.presence is not None:
            coupling = coupling * self.presence
        return parents + ops.sum(coupling, axis=2, keepdims=True) * self.bias

    def agreement(self, parents: Any) -> Any:
        logits = self._shared_products(parents) if self.shared else self._own_products(parents)
        if self.bias is None:
            return logits
        offset = ops.sum(parents * self.bias, axis=2, keepdims=True)
        return logits + (offset if self.presence is None else offset * self.presence)

    def constant(self) -> "LeanVotes":
        bias = None if self.bias is None else ops.stop_gradient(self.bias)
        poses, kernel = ops.stop_gradient(self.poses), ops.stop_gradient(self.kernel)
        return self._with(poses=poses, kernel=kernel, bias=bias)

    def present(self, mask: Any) -> "LeanVotes":
        poses = ops.where(mask[:, None, :, None], self.poses, 0.0)
        presence = ops.cast(ops.expand_dims(mask, 1), poses.dtype)
        if self.presence is not None:
            presence = presence * self.presence
        return self._with(poses=poses, presence=presence)

    def _with(self, **changes):
        names = ("poses", "kernel", "expected_sums", "bias", "presence", "dtype", "unroll")
        return LeanVotes(**{name: getattr(self, name) for name in names} | changes)

    def _own_sums(self, coupling):
        slot, sources = next(self._slots), (self.poses, self.kernel)
        return weighted_sum(*self._sums_and_products(), coupling, slot, *sources)

    def _own_products(self, parents):
        slot, sources = next(self._slots), (self.poses, self.kernel)
        return weighted_agreement(*self._sums_and_products(), parents, slot, *sources)

    def _sums_and_products(self):
        num_in, dim = self.shape[2:]
        sums = _over_parents(_sums, dim, self.unroll)
        return sums, _over_parents(_products, num_in, self.unroll)

    # If all children share a kernel, the poses can be summed first, and no loop is needed.

    def _shared_sums(self, coupling):
        poses = ops.matmul(ops.expand_dims(coupling, 1), self.poses)  # (batch, rows, num_out, D)
        sums = ops.squeeze(ops.matmul(ops.expand_dims(poses, 3), self.kernel[0]), axis=3)
        return ops.reshape(ops.transpose(sums, (0, 2, 1, 3)), (-1, self.num_out, self.shape[3]))

    def _shared_products(self, parents):
        parents = ops.reshape(parents, (-1, self.num_out, self.rows, 1, self.columns))
        kernel = ops.transpose(self.kernel[0], (0, 2, 1))
        back = ops.matmul(ops.transpose(parents, (0, 2, 1, 3, 4)), kernel)
        back = ops.transpose(ops.squeeze(back, axis=3), (0, 1, 3, 2))
        logits = ops.sum(ops.matmul(self.poses, back), axis=1)
        return ops.transpose(logits, (0, 2, 1))


def _over_parents(function, size, unroll):
    """Extends the `function` of one parent to all parents, with inputs `(batch, num_out, ...)`.

    Args:
        function: Function `(values, kernel, poses)`, which returns `(batch, size)`.
        size: Integer.
        unroll: Boolean. Whether to unroll the loop over the parents.
    """

    def evaluate(values, poses, kernel):
        def next_parent(last, parent):
            of_parent = (ops.take(tensor, parent, axis=1) for tensor in (values, kernel))
            result = function(*of_parent, poses)
            return result, result

        parents = range(kernel.shape[1])
        if unroll:
            return ops.stack([next_parent(None, parent)[0] for parent in parents], axis=1)
        # Two at once: with one it takes a third longer. With `map` TensorFlow stores ten shares.
        start = ops.zeros((ops.shape(poses)[0], size), poses.dtype)
        results = ops.scan(next_parent, start, ops.arange(kernel.shape[1]), unroll=2)[1]
        return ops.transpose(results, (1, 0, 2))

    return evaluate


def _sources_gradient(pairs, poses, kernel):
    """Computes gradients of poses and kernel from pairs `(expected_sums, batch, num_out, ...)`."""
    rows, num_in, in_dim = poses.shape[1:]
    num_out, columns = kernel.shape[1], kernel.shape[3]
    children = ops.reshape(ops.transpose(poses, (2, 3, 0, 1)), (num_in, in_dim, -1))

    def of_votes(parent):
        """Returns the gradient of the votes for one parent, `(num_in, batch * rows, columns)`."""
        ours = ops.take(pairs, parent, axis=2)
        coupling, direction = ours[..., :num_in], ours[..., num_in:]
        votes = ops.matmul(ops.transpose(coupling, (1, 2, 0)), ops.transpose(direction, (1, 0, 2)))
        votes = ops.reshape(votes, (-1, num_in, rows, columns))
        return ops.reshape(ops.transpose(votes, (1, 0, 2, 3)), (num_in, -1, columns))

    def add_poses(parent, gathered):
        matrices = ops.transpose(ops.take(kernel, parent, axis=1), (0, 2, 1))
        return gathered + ops.matmul(of_votes(parent), matrices)

    gathered = ops.zeros_like(ops.transpose(children, (0, 2, 1)))
    gathered = ops.fori_loop(0, num_out, add_poses, gathered)
    gathered = ops.reshape(gathered, (num_in, -1, rows, in_dim))
    matrices = ops.map(lambda parent: ops.matmul(children, of_votes(parent)), ops.arange(num_out))
    return ops.transpose(gathered, (1, 2, 0, 3)), ops.transpose(matrices, (1, 0, 2, 3))


def _flatten(kernel):
    return ops.reshape(kernel, (-1, kernel.shape[2]))


def _sums(coupling, kernel, poses):
    """Computes `sum_i c_i (u_i @ kernel_i)` for one parent, `(batch, rows * columns)`."""
    weighted = ops.expand_dims(coupling, (1, 3)) * poses
    weighted = ops.reshape(weighted, (-1, poses.shape[2] * poses.shape[3]))
    sums = ops.matmul(weighted, _flatten(kernel))
    return ops.reshape(sums, (-1, poses.shape[1] * kernel.shape[2]))


def _products(parent, kernel, poses):
    """Computes `u_i . (kernel_i @ v)` for one parent, `(batch, num_in)`."""
    parent = ops.reshape(parent, (-1, kernel.shape[2]))
    back = ops.matmul(parent, ops.transpose(_flatten(kernel)))
    return ops.sum(ops.reshape(back, (-1, *poses.shape[1:])) * poses, axis=(1, 3))
