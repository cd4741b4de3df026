"""Computes one gradient of the votes for several sums over them.

A sum `s_j = sum_i c_ij votes_ij` adds `c_ij ds_j` to the gradient of the votes, and an agreement
`b_ij = votes_ij . v_j` adds `db_ij v_j`. The backend would compute each of these terms as a tensor
as large as the votes. But each term is the product of a pair, a coupling and a parent, which is
much smaller. Each sum therefore takes a slot: a tensor of zeros that is not added to anything, and
whose gradient is the pair. `gradient_slots` makes the slots from the sources of the votes, and
turns all pairs at once into the gradient of the sources.

docs/benchmarks.md shows the gain. `python -m benchmarks.layers --what routing` measures the time of
a training step, and `python -m benchmarks.memory` its memory.

Changes to this file must keep five rules:

* `weighted_sum` and `weighted_agreement` return `None` as the gradient of the sources. This
  gradient travels through the slot. A second gradient would count it twice.
* A slot serves one sum. If two sums shared a slot, their pairs would be added to one pair.
* The slots are state: each sum takes the next slot of an iterator. The order does not matter,
  because the gradient adds up all pairs.
* `expected_sums` is a hint. Slots beyond this number get another gradient, which the backend adds.
  Slots that are not taken give pairs of zeros. A wrong number costs time, but never changes the
  result.
* A gradient does not hold the votes object, which holds the slots. PyTorch frees neither of two
  that hold each other through its graph, so each step of a training would take more memory.
"""

from collections.abc import Callable, Iterator
from typing import Any

from keras import ops

from keras_capsules.routing.votes import sums as of_tensor
from keras_capsules.routing.votes.base import Fit, Votes


class SharedGradientVotes(Votes):
    """Votes with one gradient for all sums over them, whatever their sources.

    A subclass calls `_share_gradient` in `__init__`, and implements `_applied` and `_backward`.
    There is no forward-mode derivative.
    """

    def _share_gradient(self, expected_sums: int, *sources: Any) -> None:
        """Sets the tensors from which the votes are computed. Their first axis is the batch."""
        _, parents, children, dim = self.shape
        children = children or ops.shape(self._children)[2]
        self.expected_sums = expected_sums
        self._sources = sources
        shape = ops.shape(sources[0])[0], parents, children
        of_sums = self._backward(of_tensor.gradient_of_sums)
        of_moments = self._backward(of_tensor.gradient_of_moments)
        self._slots = gradient_slots(expected_sums, shape, dim, of_sums, *sources)
        self._moment_slots = gradient_slots(expected_sums, shape, 2 * dim, of_moments, *sources)

    def _applied(self, function: Callable, size: Any) -> Callable:
        """Returns `function(values, votes)` as a function of values and sources.

        The function is one of `votes.sums`. Its result is `(batch, num_out, size)`.
        """
        raise NotImplementedError(f"{type(self).__name__} must implement `_applied`.")

    def _backward(self, function: Callable) -> Callable:
        """Returns `function(pairs, *sources)`, the gradients of the sources.

        `function(pairs, votes)` is the gradient of the votes.
        """
        raise NotImplementedError(f"{type(self).__name__} must implement `_backward`.")

    def combine(self, coupling: Any) -> Any:
        return weighted_sum(*self._pair(), coupling, next(self._slots), *self._sources)

    def agreement(self, parents: Any) -> Any:
        return weighted_agreement(*self._pair(), parents, next(self._slots), *self._sources)

    def fit(self, weights: Any) -> Fit:
        dim = self.shape[3]
        moments = self._applied(of_tensor.moments, 2 * dim)
        slopes = self._applied(of_tensor.slopes, self.shape[2])
        found = weighted_moments(moments, slopes, weights, next(self._moment_slots), *self._sources)
        mean, variance = ops.split(found, 2, axis=2)

        def distances(inverse, center=None):
            return self.distances(mean if center is None else center, inverse)

        return Fit(mean, variance, distances)

    def mean(self, weights: Any) -> Any:
        sums, agreements = self._pair()

        def as_pair(weights, upstream):
            return weights, upstream, ops.zeros_like(upstream)

        slot = next(self._moment_slots)
        return _bilinear(sums, agreements, as_pair, weights, slot, self._sources)

    def distances(self, center: Any, inverse: Any) -> Any:
        distances = self._applied(of_tensor.distances, self.shape[2])
        moments = self._applied(of_tensor.moments_about, 2 * self.shape[3])
        slot = next(self._moment_slots)
        return weighted_distances(distances, moments, center, inverse, slot, *self._sources)

    def _pair(self):
        sums = self._applied(of_tensor.sums, self.shape[3])
        return sums, self._applied(of_tensor.agreements, self.shape[2])


def gradient_slots(
    expected_sums: int, shape: tuple, dim: int, votes_gradient: Callable, *sources: Any
) -> Iterator[Any]:
    """Yields slots `(batch, num_out, num_in + dim)` without end; `expected_sums` share a gradient.

    Args:
        expected_sums: Integer. Number of slots that share a gradient.
        shape: Tuple `(batch, num_out, num_in)` of integers and tensors.
        dim: Integer. Size of the values of a parent.
        votes_gradient: Function `(pairs, *sources)`. It returns the gradient of each source, from
            all pairs of coupling and parents `(expected_sums, batch, num_out, num_in + dim)`.
        *sources: Tensors from which the votes are computed. Their first axis is the batch.
    """

    @ops.custom_gradient
    def slots(*sources):
        def gradient(*args, upstream=None):
            return votes_gradient(upstream_of(args, upstream), *sources)

        slots = (expected_sums, *shape[:2], shape[2] + dim)
        return ops.broadcast_to(ops.zeros((), sources[0].dtype), slots), gradient

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


def weighted_moments(
    moments: Callable, slopes: Callable, weights: Any, slot: Any, *sources: Any
) -> Any:
    """Computes `moments(weights, *sources)`, whose derivative by the weights is `slopes`.

    `m_j = sum_i w_ij votes_ij` and `S_j = sum_i w_ij (votes_ij - m_j)**2` add
    `w_ij (dm_j + 2 dS_j (votes_ij - m_j))` to the gradient of the votes. The derivative of S by m
    is zero, because the weights add up to one.
    """

    @ops.custom_gradient
    def evaluate(weights, slot, *sources):
        found = moments(weights, *sources)
        # For one use: PyTorch never frees a result that its own gradient holds.
        held = [found]

        def gradient(*args, upstream=None):
            slope, inverse = ops.split(upstream_of(args, upstream), 2, axis=2)
            again = held.pop() if held else moments(weights, *sources)
            mean = ops.split(again, 2, axis=2)[0]
            values = ops.concatenate([slope, mean, inverse], axis=2)
            pair = [weights, slope - 2.0 * inverse * mean, inverse]
            back = slopes(values, *sources)
            return back, ops.concatenate(pair, axis=2), *[None] * len(sources)

        return found, gradient

    return evaluate(weights, slot, *sources)


def weighted_distances(
    distances: Callable, moments: Callable, center: Any, inverse: Any, slot: Any, *sources: Any
) -> Any:
    """Computes `distances`, whose derivatives by center and inverse are `moments` about the center.

    `sum_d p_jd (votes_ijd - m_jd)**2` adds `2 db_ij p_j (votes_ij - m_j)` to the gradient of the
    votes.
    """

    @ops.custom_gradient
    def evaluate(center, inverse, slot, *sources):
        def gradient(*args, upstream=None):
            upstream = upstream_of(args, upstream)
            found = moments(ops.concatenate([upstream, center], axis=2), *sources)
            total, scatter = ops.split(found, 2, axis=2)
            away = total - center * ops.sum(upstream, axis=2, keepdims=True)
            pair = [upstream, -2.0 * inverse * center, inverse]
            pair = ops.concatenate(pair, axis=2)
            return -2.0 * inverse * away, scatter, pair, *[None] * len(sources)

        found = distances(ops.concatenate([center, inverse], axis=2), *sources)
        return found, gradient

    return evaluate(center, inverse, slot, *sources)


def _bilinear(forward, transposed, as_pair, value, slot, sources):
    """Computes `forward(value, *sources)`, which is linear in the value and in the votes.

    `transposed(upstream, *sources)` is the gradient of the value, which is a coupling c or parents
    v. `as_pair(value, upstream)` returns the two in the order `(c, v)`.
    """

    @ops.custom_gradient
    def evaluate(value, slot, *sources):
        def gradient(*args, upstream=None):
            upstream = upstream_of(args, upstream)
            pair = ops.concatenate(as_pair(value, upstream), axis=2)
            # None, because the gradient of the sources is `pair` and travels through the slot.
            return transposed(upstream, *sources), pair, *[None] * len(sources)

        return forward(value, *sources), gradient

    return evaluate(value, slot, *sources)


def upstream_of(args: tuple, upstream: Any) -> Any:
    """Returns the upstream gradient from the arguments of a custom gradient."""
    # PyTorch passes it by keyword, after the arguments; TensorFlow and JAX pass it alone.
    return args[0] if upstream is None else upstream
