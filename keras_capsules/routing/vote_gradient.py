"""One gradient for several sums over votes.

A sum `s_j = sum_i c_ij votes_ij` adds `c_ij ds_j` to the gradient of the votes, and an agreement
`b_ij = votes_ij . v_j` adds `db_ij v_j`. Each is a pair of a coupling and a parent, much smaller
than the votes. `weighted_sum` and `weighted_agreement` hand their pair on as the gradient of zeros
that they take; `zeros_for` makes these zeros, and adds up what all pairs mean for the votes.
"""

from keras import ops


def zeros_for(num_sums: int, num_out: int, num_in, dim: int, add, *sources):
    """Yields zeros `(batch, num_out, num_in + dim)` without end, with one gradient for `num_sums`.

    Args:
        num_sums: Integer. How many of them have a gradient together.
        num_out: Integer. Number of parents.
        num_in: Integer or tensor. Number of children.
        dim: Integer. Size of a vote.
        add: Function `(pairs, *sources)`, which returns the gradient of each source from all pairs
            of coupling and parents, `(num_sums, batch, num_out, num_in + dim)`.
        *sources: Tensors that start with the batch. What the votes are made of.
    """

    @ops.custom_gradient
    def zeros(*sources):
        def gradient(*args, upstream=None):
            pairs = args[0] if upstream is None else upstream
            return add(pairs, *sources)

        shape = (num_sums, ops.shape(sources[0])[0], num_out, num_in + dim)
        return ops.broadcast_to(ops.zeros((), sources[0].dtype), shape), gradient

    while True:
        # The gradient of `split` joins the parts, where that of `unstack` adds them up under JAX.
        for part in ops.split(zeros(*sources), num_sums):
            yield ops.squeeze(part, axis=0)


def weighted_sum(sums, agreements, coupling, zeros, *sources):
    """Computes `sums(coupling, *sources)`; its derivative by the coupling is `agreements`."""

    @ops.custom_gradient
    def evaluate(coupling, zeros, *sources):
        def gradient(*args, upstream=None):
            parents = args[0] if upstream is None else upstream
            pair = ops.concatenate([coupling, parents], axis=2)
            return agreements(parents, *sources), pair, *[None] * len(sources)

        return sums(coupling, *sources), gradient

    return evaluate(coupling, zeros, *sources)


def weighted_agreement(sums, agreements, parents, zeros, *sources):
    """Computes `agreements(parents, *sources)`; its derivative by the parents is `sums`."""

    @ops.custom_gradient
    def evaluate(parents, zeros, *sources):
        def gradient(*args, upstream=None):
            coupling = args[0] if upstream is None else upstream
            pair = ops.concatenate([coupling, parents], axis=2)
            return sums(coupling, *sources), pair, *[None] * len(sources)

        return agreements(parents, *sources), gradient

    return evaluate(parents, zeros, *sources)


def no_derivative(*args):
    """Stands for the derivative by a constant."""
    return None
