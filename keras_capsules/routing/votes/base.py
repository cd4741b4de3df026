"""Defines the operations on votes that routings may use, whichever class keeps the votes."""

from typing import Any

from keras import ops

from keras_capsules.routing._competition import WITHIN_THE_CELL


class Votes:
    """Votes of children i for parents j, `(batch, num_out, num_in, dim)`.

    A subclass implements `combine`, `agreement`, `constant` and `present`. The other methods use
    these, and a subclass overrides them only for speed.

    Args:
        shape: Tuple `(batch, num_out, num_in, dim)`, with `None` where a size is unknown.
        dtype: String. Data type of the parents that a routing computes from the votes.
        children: Tensor `(batch, any, num_in, any)` from which the votes are computed. Only its
            sizes and its data type are used.

    Attributes:
        shape, dtype: As above.
        competition: Object that divides a child among parents. It is `AcrossCells` in a convolution
            with a routing that `competes_across_cells`, and `WITHIN_THE_CELL` otherwise.
        tensor: Tensor of the votes, float32 or wider. `LeanVotes` raises a `ValueError` instead, so
            only routings that leave `sums_votes` at `False` may use it.
    """

    competition: Any = WITHIN_THE_CELL
    tensor: Any

    def __init__(self, shape: tuple, dtype: str, children: Any):
        self.shape = shape
        self.dtype = dtype
        self._children = children

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
