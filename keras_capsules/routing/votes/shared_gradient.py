"""Computes one gradient of the votes for several sums over them.

A sum `s_j = sum_i c_ij votes_ij` adds `c_ij ds_j` to the gradient of the votes, and an agreement
`b_ij = votes_ij . v_j` adds `db_ij v_j`. The backend would compute each of these terms as a tensor
as large as the votes. But each term is the product of a pair, a coupling and a parent, which is
much smaller. Each sum therefore takes a slot: a tensor of zeros that is not added to anything, and
whose gradient is the pair. `gradient_slots` makes the slots from the sources of the votes, and
turns all pairs at once into the gradient of the sources.

docs/benchmarks.md shows the gain. `python -m benchmarks.layers --what routing` measures the time of
a training step, and `python -m benchmarks.memory` its memory.

Changes to this file must keep four rules:

* `weighted_sum` and `weighted_agreement` return `None` as the gradient of the sources. This
  gradient travels through the slot. A second gradient would count it twice.
* A slot serves one sum. If two sums shared a slot, their pairs would be added to one pair.
* The slots are state: each sum takes the next slot of an iterator. The order does not matter,
  because the gradient adds up all pairs.
* `expected_sums` is a hint. Slots beyond this number get another gradient, which the backend adds.
  Slots that are not taken give pairs of zeros. A wrong number costs time, but never changes the
  result.
"""

from collections.abc import Callable, Iterator
from typing import Any

from keras import ops


def gradient_slots(
    expected_sums: int, num_out: int, num_in: Any, dim: int, votes_gradient: Callable, *sources: Any
) -> Iterator[Any]:
    """Yields slots `(batch, num_out, num_in + dim)` without end; `expected_sums` share a gradient.

    Args:
        expected_sums: Integer. Number of slots that share a gradient.
        num_out: Integer. Number of parents.
        num_in: Integer or tensor. Number of children.
        dim: Integer. Size of a vote.
        votes_gradient: Function `(pairs, *sources)`. It returns the gradient of each source, from
            all pairs of coupling and parents `(expected_sums, batch, num_out, num_in + dim)`.
        *sources: Tensors from which the votes are computed. Their first axis is the batch.
    """

    @ops.custom_gradient
    def slots(*sources):
        def gradient(*args, upstream=None):
            return votes_gradient(_upstream(args, upstream), *sources)

        shape = (expected_sums, ops.shape(sources[0])[0], num_out, num_in + dim)
        return ops.broadcast_to(ops.zeros((), sources[0].dtype), shape), gradient

    while True:
        # Under JAX the gradient of `split` joins the parts, while that of `unstack` adds them up.
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

    `transposed(upstream, *sources)` is the gradient of the value, which is a coupling c or parents
    v. `as_pair(value, upstream)` returns the two in the order `(c, v)`.
    """

    @ops.custom_gradient
    def evaluate(value, slot, *sources):
        def gradient(*args, upstream=None):
            upstream = _upstream(args, upstream)
            pair = ops.concatenate(as_pair(value, upstream), axis=2)
            # None, because the gradient of the sources is `pair` and travels through the slot.
            return transposed(upstream, *sources), pair, *[None] * len(sources)

        return forward(value, *sources), gradient

    return evaluate(value, slot, *sources)


def _upstream(args, upstream):
    # PyTorch passes it by keyword, after the arguments; TensorFlow and JAX pass it alone.
    return args[0] if upstream is None else upstream
