"""Votes that are never held: they are computed anew, parent by parent, for each sum over them."""

from keras import ops

from keras_capsules.routing.vote_gradient import weighted_agreement, weighted_sum, zeros_for


class LeanVotes:
    """The votes of a layer as what they are made of: poses and a kernel.

    `votes_ij = u_i @ kernel_ij + bias_j`. Sums over them are computed for one parent after the
    other, and so is their gradient, once for all sums, from the pairs of coupling and parents that
    they hand on: `du_i = sum_jk c_ij^k (v_j^k @ kernel_ij^T)`,
    `dkernel_ij = sum_k c_ij^k (u_i^T @ v_j^k)`. Memory holds the poses, the couplings and one
    parent's share at a time, where the votes would take `num_out * dim / in_dim` times the poses.

    Args:
        poses: Tensor `(batch, rows, num_in, in_dim)`.
        kernel: Tensor `(num_in, num_out, in_dim, columns)`, or with 1 in place of `num_in`.
        num_sums: Integer. The number of sums that have a gradient together.
        bias: Tensor `(num_out, rows * columns)` or `None`.
        present: Tensor `(batch, 1, num_in)`, zero where a child is absent, or `None`.
        dtype: String. That of the votes, if they were stored.
        unroll: Boolean. Whether to write the loop over the parents out, so that the graph has
            none; compiled training is leaner with a loop.
    """

    def __init__(self, poses, kernel, num_sums, bias=None, present=None, dtype=None, unroll=False):
        self.poses = poses
        self.kernel = kernel
        self.num_sums = num_sums
        self.bias = bias
        self.present = present
        self.dtype = dtype or poses.dtype
        self.unroll = unroll
        self.rows, num_in = poses.shape[1:3]
        self.num_out, self.columns = kernel.shape[1], kernel.shape[3]
        self.shared = kernel.shape[0] == 1
        self.shape = (poses.shape[0], self.num_out, num_in, self.rows * self.columns)
        self.zeros = zeros_for(num_sums, *self.shape[1:], _add, poses, kernel)

    def masked(self, mask):
        """Returns the votes of those children alone for which `(batch, num_in)` is true."""
        poses = ops.where(mask[:, None, :, None], self.poses, 0.0)
        return self._with(poses=poses, present=ops.cast(ops.expand_dims(mask, 1), poses.dtype))

    def constant(self):
        """Returns the same votes, through which no gradient flows."""
        bias = None if self.bias is None else ops.stop_gradient(self.bias)
        poses, kernel = ops.stop_gradient(self.poses), ops.stop_gradient(self.kernel)
        return self._with(poses=poses, kernel=kernel, bias=bias)

    def _with(self, **changes):
        names = ("poses", "kernel", "num_sums", "bias", "present", "dtype", "unroll")
        return LeanVotes(**{name: getattr(self, name) for name in names} | changes)

    def total(self):
        return self.combine(self.equal_shares(1.0))

    def equal_shares(self, share):
        children = ops.zeros_like(self.poses[:, :1, :, 0])
        return children + ops.full((self.num_out, 1), share, children.dtype)

    def mean_component(self):
        sample = ops.zeros_like(self.poses[:, :1, :1, 0])
        dim = self.shape[3]
        return self.agreement(sample + ops.full((self.num_out, dim), 1 / dim, sample.dtype))

    def combine(self, coupling):
        sums = self._shared_sums if self.shared else self._own_sums
        parents = sums(coupling)
        if self.bias is None:
            return parents
        if self.present is not None:
            coupling = coupling * self.present
        return parents + ops.sum(coupling, axis=2, keepdims=True) * self.bias

    def agreement(self, parents):
        products = self._shared_products if self.shared else self._own_products
        logits = products(parents)
        if self.bias is None:
            return logits
        offset = ops.sum(parents * self.bias, axis=2, keepdims=True)
        return logits + (offset if self.present is None else offset * self.present)

    def _own_sums(self, coupling):
        functions, sources = self._over_parents(), (self.poses, self.kernel)
        return weighted_sum(*functions, coupling, next(self.zeros), *sources)

    def _own_products(self, parents):
        functions, sources = self._over_parents(), (self.poses, self.kernel)
        return weighted_agreement(*functions, parents, next(self.zeros), *sources)

    def _over_parents(self):
        num_in, dim = self.shape[2:]
        sums, products = (_sums, dim), (_products, num_in)
        return (_over_parents(*function, self.unroll) for function in (sums, products))

    # One kernel for all children: it is the same to sum first, and no loop is needed.

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
    """Returns the `function` of one parent as one of all, which takes `(batch, num_out, ...)`.

    Args:
        function: Function `(values, kernel, poses)`, which returns `(batch, size)`.
        size: Integer.
        unroll: Boolean. Whether to write the loop over the parents out.
    """

    def evaluate(values, poses, kernel):
        def next_parent(last, parent):
            result = function(*_take(parent, values, kernel), poses)
            return result, result

        parents = range(kernel.shape[1])
        if unroll:
            return ops.stack([next_parent(None, parent)[0] for parent in parents], axis=1)
        # Two at once: one takes a third longer, and `map` has TensorFlow hold the shares of ten.
        start = ops.zeros((ops.shape(poses)[0], size), poses.dtype)
        results = ops.scan(next_parent, start, ops.arange(kernel.shape[1]), unroll=2)[1]
        return ops.transpose(results, (1, 0, 2))

    return evaluate


def _take(parent, *tensors):
    """Returns what tensors hold of one parent, which their second axis counts."""
    return (ops.take(tensor, parent, axis=1) for tensor in tensors)


def _add(pairs, poses, kernel):
    """Computes the gradients of poses and kernel from pairs `(num_sums, batch, num_out, ...)`."""
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


def _weigh(coupling, poses):
    """Returns `c_i u_i` of one parent as a matrix `(batch * rows, num_in * in_dim)`."""
    weighted = ops.expand_dims(coupling, (1, 3)) * poses
    return ops.reshape(weighted, (-1, poses.shape[2] * poses.shape[3]))


def _flatten(kernel):
    return ops.reshape(kernel, (-1, kernel.shape[2]))


def _sums(coupling, kernel, poses):
    """Computes `sum_i c_i (u_i @ kernel_i)` for one parent, `(batch, rows * columns)`."""
    sums = ops.matmul(_weigh(coupling, poses), _flatten(kernel))
    return ops.reshape(sums, (-1, poses.shape[1] * kernel.shape[2]))


def _back(parent, kernel, poses):
    """Computes `kernel_i @ v` for each child of one parent, in the shape of the poses."""
    parent = ops.reshape(parent, (-1, kernel.shape[2]))
    return ops.reshape(ops.matmul(parent, ops.transpose(_flatten(kernel))), (-1, *poses.shape[1:]))


def _products(parent, kernel, poses):
    """Computes `(u_i @ kernel_i) . v` for one parent, `(batch, num_in)`."""
    return ops.sum(_back(parent, kernel, poses) * poses, axis=(1, 3))
