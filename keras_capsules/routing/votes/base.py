"""Defines the operations on votes that routings may use, whichever class keeps the votes."""

from collections.abc import Callable
from typing import Any, NamedTuple

from keras import ops

from keras_capsules.routing._competition import WITHIN_THE_CELL


class Fit(NamedTuple):
    """Holds the Gaussian of each parent's votes, as `Votes.fit` returns it.

    Attributes:
        mean: Tensor `(batch, num_out, dim)`, `sum_i w_ij votes_ij`.
        variance: Tensor `(batch, num_out, dim)`, `sum_i w_ij (votes_ij - mean_j)**2`.
        distances: Function that takes factors `(batch, num_out, dim)` and a center of the same
            shape, by default the mean, and returns `sum_d factor_jd (votes_ijd - center_jd)**2`,
            `(batch, num_out, num_in)`.
    """

    mean: Any
    variance: Any
    distances: Callable


class Votes:
    """Votes of children i for parents j, `(batch, num_out, num_in, dim)`.

    A subclass implements `combine`, `agreement`, `constant` and `present`. For routings that fit
    Gaussians to the votes it also implements `fit`, `distances` and `scaled`. The other methods use
    these, and a subclass overrides them only for speed.

    Args:
        shape: Tuple `(batch, num_out, num_in, dim)`, with `None` where a size is unknown.
        dtype: String. Data type of the parents that a routing computes from the votes.
        children: Tensor `(batch, any, num_in, any)` from which the votes are computed. Only its
            sizes and its data type are used.
        competition: Object that divides a child among parents. It is `AcrossCells` in a convolution
            with a routing that `competes_across_cells`, and `WITHIN_THE_CELL`, the default,
            otherwise.
        tensor: Tensor of the votes, float32 or wider, or `None` if they are not stored.

    Attributes:
        shape, dtype, competition, tensor: As above. Where votes are not stored, `tensor` raises a
            `ValueError`. Only routings that leave `sums_votes` and `fits_votes` at `False` may use
            it.
        unit: Float. Number by which whoever made the votes has divided them. Defaults to `1.0`.
    """

    unit = 1.0

    def __init__(
        self,
        shape: tuple,
        dtype: str,
        children: Any,
        competition: Any = WITHIN_THE_CELL,
        tensor: Any = None,
    ):
        self.shape = shape
        self.dtype = dtype
        self.competition = competition
        self._children = children
        self._tensor = tensor

    @property
    def tensor(self) -> Any:
        if self._tensor is not None:
            return self._tensor
        raise ValueError(
            f"{type(self).__name__} are not stored as a tensor. Use the methods of `Votes`, such "
            "as `combine`, or leave `sums_votes` and `fits_votes` of the routing at `False`; "
            "layers then store the votes for it."
        )

    def combine(self, coupling: Any) -> Any:
        """Sums the votes weighted by their coupling: `s_j = sum_i c_ij * votes_ij`.

        The coupling is `(batch, num_out, num_in)`, and the result is `(batch, num_out, dim)`.
        """
        raise NotImplementedError(f"{type(self).__name__} must implement `combine`.")

    def agreement(self, parents: Any) -> Any:
        """Computes how far each vote agrees with its parent: `b_ij = votes_ij . v_j`.

        The parents are `(batch, num_out, dim)`, and the result is `(batch, num_out, num_in)`.
        """
        raise NotImplementedError(f"{type(self).__name__} must implement `agreement`.")

    def fit(self, weights: Any) -> Fit:
        """Fits a Gaussian to the votes for each parent.

        The weights are `(batch, num_out, num_in)`. Those of each parent add up to one, or are all
        zero.
        """
        raise NotImplementedError(f"{type(self).__name__} must implement `fit`.")

    def mean(self, weights: Any) -> Any:
        """Computes the mean of `fit` alone."""
        return self.combine(weights)

    def distances(self, center: Any, inverse: Any) -> Any:
        """Computes `sum_d inverse_jd (votes_ijd - center_jd)**2`, `(batch, num_out, num_in)`."""
        raise NotImplementedError(f"{type(self).__name__} must implement `distances`.")

    def scaled(self, factor: float) -> "Votes":
        """Returns the votes times a factor."""
        raise NotImplementedError(f"{type(self).__name__} must implement `scaled`.")

    def in_unit(self, unit: float) -> "Votes":
        """Returns the votes divided by a unit, unless they have been divided by it already."""
        return self if self.unit == unit else self.scaled(1 / unit)

    def constant(self) -> "Votes":
        """Returns the same votes, through which no gradient flows."""
        raise NotImplementedError(f"{type(self).__name__} must implement `constant`.")

    def present(self, mask: Any) -> "Votes":
        """Returns votes that are zero where the boolean mask `(batch, num_in)` is false."""
        raise NotImplementedError(f"{type(self).__name__} must implement `present`.")

    def total(self) -> Any:
        """Sums the votes for each parent: `s_j = sum_i votes_ij`, `(batch, num_out, dim)`."""
        return self.combine(self.equal_shares(1.0))

    def mean_component(self) -> Any:
        """Computes the mean over each vote's components, `(batch, num_out, num_in)`."""
        sample = ops.zeros_like(self._children[:, :1, :1, 0])
        _, num_out, _, dim = self.shape
        return self.agreement(sample + ops.full((num_out, dim), 1 / dim, sample.dtype))

    def equal_shares(self, share: float) -> Any:
        """Returns the coupling that is `share` everywhere, `(batch, num_out, num_in)`."""
        children = ops.zeros_like(self._children[:, :1, :, 0])
        return children + ops.full((self.shape[1], 1), share, children.dtype)

    def __array__(self, *args: Any, **kwargs: Any) -> Any:
        """Says how a routing gets a tensor, to those who pass votes to an operation of Keras."""
        raise TypeError(
            "A routing gets `Votes`, which are not a tensor. Take the tensor as `votes.tensor`, or "
            "ask for sums with `votes.combine(coupling)` and `votes.agreement(parents)`."
        )
