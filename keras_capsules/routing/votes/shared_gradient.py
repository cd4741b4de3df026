"""Computes one gradient of the votes for several sums over them.

A sum `s_j = sum_i c_ij votes_ij` adds `c_ij ds_j` to the gradient of the votes, and an agreement
`b_ij = votes_ij . v_j` adds `db_ij v_j`. Left to the backend, each adds a tensor as large as the
votes. But each is a pair of a coupling and a parent, which is much smaller. So each sum takes a
slot: zeros that it does not add to anything, whose gradient is the pair. `gradient_slots` makes the
slots out of the sources of the votes, and turns all pairs at once into the sources' gradient.

What that gains is in docs/benchmarks.md: `python -m benchmarks.layers --what routing` measures the
time of a training step, `python -m benchmarks.memory` its memory.

Whoever changes this file needs to know four rules:

* `weighted_sum` and `weighted_agreement` return `None` as the gradient of the sources. It travels
  through the slot instead; a gradient there as well would be counted twice.
* A slot serves one sum. Two sums that share one would get the sum of their pairs as one pair.
* The slots are state: an iterator, of which each sum takes the next. In which order does not
  matter, because the gradient adds up all pairs.
* `expected_sums` is a hint. After so many slots the next ones come with another gradient, which the
  backend adds; slots that nobody takes are pairs of zeros. A wrong number costs time, never the
  result.
"""

from collections.abc import Callable, Iterator
from typing import Any

from keras import ops


def gradient_slots(
    expected_sums: int, num_out: int, num_in: Any, dim: int, votes_gradient: Callable, *sources: Any
) -> Iterator[Any]:
    """Yields slots `(batch, num_out, num_in + dim)` without end, one gradient for `expected_sums`.

    Args:
        expected_sums: Integer. How many slots have a gradient together.
        num_out: Integer. Number of parents.
        num_in: Integer or tensor. Number of children.
        dim: Integer. Size of a vote.
        votes_gradient: Function `(pairs, *sources)`, which returns the gradient of each source from
            all pairs of coupling and parents, `(expected_sums, batch, num_out, num_in + dim)`.
        *sources: Tensors that start with the batch. What the votes are made of.
    """

    @ops.custom_gradient
    def slots(*sources):
        def gradient(*args, upstream=None):
            return votes_gradient(_upstream(args, upstream), *sources)

        shape = (expected_sums, ops.shape(sources[0])[0], num_out, num_in + dim)
        return ops.broadcast_to(ops.zeros((), sources[0].dtype), shape), gradient

    while True:
        # The gradient of `split` joins the parts, where that of `unstack` adds them up under JAX.
        for part in ops.split(slots(*sources), expected_sums):
            yield ops.squeeze(part, axis=0)


def weighted_sum(
    sums: Callable, agreements: Callable, coupling: Any, slot: Any, *sources: Any
) -> Any:
    """Computes `sums(coupling, *sources)`; its derivative by the coupling is `agreements`."""
    return _bilinear(sums, agreements, lambda c, v: (c, v), coupling, slot, sources)


def weighted_agreement(
    sums: Callable, agreements: Callable, parents: Any, slot: Any, *sources: Any
) -> Any:
    """Computes `agreements(parents, *sources)`; its derivative by the parents is `sums`."""
    return _bilinear(agreements, sums, lambda v, c: (c, v), parents, slot, sources)


def _bilinear(forward, transposed, as_pair, value, slot, sources):
    """Computes `forward(value, *sources)`, which is linear in the value and in the votes.

    `transposed(upstream, *sources)` is the gradient of the value, a coupling c or parents v, and
    `as_pair(value, upstream)` puts the two in the order `(c, v)`.
    """

    @ops.custom_gradient
    def evaluate(value, slot, *sources):
        def gradient(*args, upstream=None):
            upstream = _upstream(args, upstream)
            pair = ops.concatenate(as_pair(value, upstream), axis=2)
            # None: the gradient of the sources is `pair`, on its way through the slot.
            return transposed(upstream, *sources), pair, *[None] * len(sources)

        return forward(value, *sources), gradient

    return evaluate(value, slot, *sources)


def _upstream(args, upstream):
    # PyTorch passes it by keyword, beside the arguments; TensorFlow and JAX by position, alone.
    return args[0] if upstream is None else upstream
