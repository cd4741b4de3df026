"""Sums over votes, which a layer may have stored or may compute anew each time.

Routings that look at votes only through these functions work with both: with a tensor
`(batch, num_out, num_in, dim)` and with `LeanVotes`.
"""

from keras import ops


def total(votes):
    """Sums the votes for each parent: `s_j = sum_i votes_ij`, `(batch, num_out, dim)`."""
    return votes.total() if isinstance(votes, LeanVotes) else ops.sum(votes, axis=2)


def combine(coupling, votes):
    """Sums the votes weighted by their coupling: `s_j = sum_i c_ij * votes_ij`.

    Args:
        coupling: Tensor `(batch, num_out, num_in)`.
        votes: Tensor `(batch, num_out, num_in, dim)` or `LeanVotes`.

    Returns:
        Tensor `(batch, num_out, dim)`.
    """
    if isinstance(votes, LeanVotes):
        return votes.combine(coupling)
    return ops.squeeze(ops.matmul(ops.expand_dims(coupling, 2), votes), axis=2)


def agreement(votes, parents):
    """Computes how far each vote agrees with its parent: `b_ij = votes_ij . v_j`.

    Args:
        votes: Tensor `(batch, num_out, num_in, dim)` or `LeanVotes`.
        parents: Tensor `(batch, num_out, dim)`.

    Returns:
        Tensor `(batch, num_out, num_in)`.
    """
    if isinstance(votes, LeanVotes):
        return votes.agreement(parents)
    return ops.squeeze(ops.matmul(votes, ops.expand_dims(parents, 3)), axis=3)


def mean_component(votes):
    """Computes the mean over each vote's components, `(batch, num_out, num_in)`."""
    return votes.mean_component() if isinstance(votes, LeanVotes) else ops.mean(votes, axis=3)


def without_absent(votes, mask):
    """Returns votes that are zero where the boolean mask `(batch, num_in)` is false."""
    if isinstance(votes, LeanVotes):
        return votes.masked(mask)
    return ops.where(mask[:, None, :, None], votes, 0.0)


def equal_shares(votes, share):
    """Returns the coupling that is `share` everywhere, `(batch, num_out, num_in)`."""
    if isinstance(votes, LeanVotes):
        return votes.equal_shares(share)
    children = ops.zeros_like(votes[:, :1, :, 0])
    return children + ops.full((votes.shape[1], 1), share, children.dtype)


class LeanVotes:
    """The votes of a layer as what they are made of: poses and a kernel.

    `votes_ij = u_i @ kernel_ij + bias_j`. Sums over them are computed for one parent after the
    other, and so are their gradients, from the derivatives of

    `F = sum_ij c_ij * (u_i @ kernel_ij) . v_j`:

    a sum weighted by c is dF/dv, an agreement with v is dF/dc, and both pass gradients on through
    dF/du and dF/dkernel. Memory holds the poses, the coupling and one parent's share at a time,
    where the votes would take `num_out * dim / in_dim` times the poses.

    Args:
        poses: Tensor `(batch, rows, num_in, in_dim)`.
        kernel: Tensor `(num_out, num_in, in_dim, columns)`, or with 1 in place of `num_in`.
        bias: Tensor `(num_out, rows * columns)` or `None`.
        present: Tensor `(batch, 1, num_in)`, zero where a child is absent, or `None`.
        dtype: String. That of the votes, if they were stored.
        unroll: Boolean. Whether to write the loop over the parents out, so that the graph has
            none; compiled training is leaner with a loop.
    """

    def __init__(self, poses, kernel, bias=None, present=None, dtype=None, unroll=False):
        self.poses = poses
        self.kernel = kernel
        self.bias = bias
        self.present = present
        self.dtype = dtype or poses.dtype
        self.unroll = unroll
        self.rows, num_in = poses.shape[1:3]
        self.num_out, self.columns = kernel.shape[0], kernel.shape[3]
        self.shared = kernel.shape[1] == 1
        self.shape = (poses.shape[0], self.num_out, num_in, self.rows * self.columns)

    def masked(self, mask):
        """Returns the votes of those children alone for which `(batch, num_in)` is true."""
        poses = ops.where(mask[:, None, :, None], self.poses, 0.0)
        present = ops.cast(ops.expand_dims(mask, 1), poses.dtype)
        return LeanVotes(poses, self.kernel, self.bias, present, self.dtype, self.unroll)

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
        return _over_parents(_sums, _products, self.unroll)(coupling, self.poses, self.kernel)

    def _own_products(self, parents):
        return _over_parents(_products, _sums, self.unroll)(parents, self.poses, self.kernel)

    # One kernel for all children: it is the same to sum first, and no loop is needed.

    def _shared_sums(self, coupling):
        poses = ops.matmul(ops.expand_dims(coupling, 1), self.poses)  # (batch, rows, num_out, D)
        sums = ops.squeeze(ops.matmul(ops.expand_dims(poses, 3), self.kernel[:, 0]), axis=3)
        return ops.reshape(ops.transpose(sums, (0, 2, 1, 3)), (-1, self.num_out, self.shape[3]))

    def _shared_products(self, parents):
        parents = ops.reshape(parents, (-1, self.num_out, self.rows, 1, self.columns))
        kernel = ops.transpose(self.kernel[:, 0], (0, 2, 1))
        back = ops.matmul(ops.transpose(parents, (0, 2, 1, 3, 4)), kernel)
        back = ops.transpose(ops.squeeze(back, axis=3), (0, 1, 3, 2))
        logits = ops.sum(ops.matmul(self.poses, back), axis=1)
        return ops.transpose(logits, (0, 2, 1))


def _over_parents(function, derivative, unroll):
    """Returns `function` of all parents, with the gradient that its `derivative` makes.

    dF/dv and dF/dc, for F of `LeanVotes`, are each other's derivative.
    """

    @ops.custom_gradient
    def evaluate(values, poses, kernel):
        def gradient(*args, upstream=None):
            upstream = args[0] if upstream is None else upstream
            sides = (values, upstream) if function is _sums else (upstream, values)
            coupling, parents = (ops.transpose(side, (1, 0, 2)) for side in sides)

            def add_poses(parent, gathered):
                back = _back(*(ops.take(x, parent, axis=0) for x in (parents, kernel)), poses)
                share = ops.expand_dims(ops.take(coupling, parent, axis=0), (1, 3))
                return gathered + share * back

            return (
                _map(derivative, upstream, poses, kernel),
                ops.fori_loop(0, kernel.shape[0], add_poses, ops.zeros_like(poses)),
                ops.map(lambda x: _kernel_gradient(*x, poses, kernel), (coupling, parents)),
            )

        return _map(function, values, poses, kernel, unroll), gradient

    return evaluate


def _map(function, values, poses, kernel, unroll=False):
    """Applies a function to `values` `(batch, num_out, ...)` and the kernel, parent by parent."""
    values = ops.transpose(values, (1, 0, 2))
    if unroll:
        parents = range(kernel.shape[0])
        return ops.stack([function(values[j], kernel[j], poses) for j in parents], axis=1)
    mapped = ops.map(lambda x: function(*x, poses), (values, kernel))
    return ops.transpose(mapped, (1, 0, 2))


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


def _kernel_gradient(coupling, parent, poses, kernel):
    """Computes `c_i u_i v` summed over the batch, in the shape of one parent's kernel."""
    parent = ops.reshape(parent, (-1, kernel.shape[3]))
    outer = ops.matmul(ops.transpose(_weigh(coupling, poses)), parent)
    return ops.reshape(outer, kernel.shape[1:])
