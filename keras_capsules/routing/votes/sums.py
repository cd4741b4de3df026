"""Computes sums over votes that are a tensor `(batch, num_out, num_in, dim)`.

Several values of a parent are one tensor, joined on the last axis. Each function therefore takes
its values and the votes, and can be applied to a part of the votes at a time. Processors compute
faster on `(batch, num_out, dim, num_in)`, the layout with `children_last`.
"""

from typing import Any

from keras import ops


def sums(coupling: Any, votes: Any, children_last: bool = False) -> Any:
    """Computes `sum_i c_ij votes_ij`, `(batch, num_out, dim)`."""
    if children_last:
        votes = ops.transpose(votes, (0, 1, 3, 2))
    return ops.squeeze(ops.matmul(ops.expand_dims(coupling, 2), votes), axis=2)


def agreements(parents: Any, votes: Any, children_last: bool = False) -> Any:
    """Computes `votes_ij . v_j`, `(batch, num_out, num_in)`."""
    if children_last:
        return ops.squeeze(ops.matmul(ops.expand_dims(parents, 2), votes), axis=2)
    return ops.squeeze(ops.matmul(votes, ops.expand_dims(parents, 3)), axis=3)


def squares(center: Any, votes: Any, children_last: bool = False) -> Any:
    """Computes `(votes_ij - center_j)**2`, in the shape of the votes."""
    return ops.square(votes - ops.expand_dims(center, 3 if children_last else 2))


def moments(weights: Any, votes: Any, children_last: bool = False) -> Any:
    """Computes the mean `sum_i w_ij votes_ij`, joined with `sum_i w_ij (votes_ij - mean_j)**2`.

    The weights of each parent add up to one.
    """
    mean = sums(weights, votes, children_last)
    return join(mean, sums(weights, squares(mean, votes, children_last), children_last))


def moments_about(values: Any, votes: Any, children_last: bool = False) -> Any:
    """Computes `sum_i w_ij votes_ij`, joined with `sum_i w_ij (votes_ij - center_j)**2`.

    The values are w and the center.
    """
    dim = votes.shape[2 if children_last else 3]
    weights, center = values[..., :-dim], values[..., -dim:]
    about_center = squares(center, votes, children_last)
    return join(sums(weights, votes, children_last), sums(weights, about_center, children_last))


def distances(values: Any, votes: Any, children_last: bool = False) -> Any:
    """Computes `sum_d inverse_jd (votes_ijd - center_jd)**2`. The values are center and inverse."""
    center, inverse = ops.split(values, 2, axis=2)
    return agreements(inverse, squares(center, votes, children_last), children_last)


def slopes(values: Any, votes: Any, children_last: bool = False) -> Any:
    """Computes `sum_d slope_jd votes_ijd` plus the distances of center and inverse."""
    slope, center, inverse = ops.split(values, 3, axis=2)
    about_center = squares(center, votes, children_last)
    return agreements(slope, votes, children_last) + agreements(
        inverse, about_center, children_last
    )


def without_absent(votes: Any, mask: Any) -> Any:
    """Puts zeros where the boolean mask `(batch, num_in)` is false."""
    return ops.where(mask[:, None, :, None], votes, 0.0)


def gradient_of_sums(pairs: Any, votes: Any) -> Any:
    """Computes `sum_k c_ij^k v_j^k` from the pairs `(num_sums, batch, num_out, num_in + dim)`."""
    coupling, parents = pairs[..., : -votes.shape[3]], pairs[..., -votes.shape[3] :]
    return _products(coupling, parents)


def gradient_of_moments(pairs: Any, votes: Any) -> Any:
    """Computes `sum_k c_ij^k (v_j^k + 2 votes_ij w_j^k)` from pairs of c and of v joined with w."""
    dim = votes.shape[3]
    coupling, parents = pairs[..., : -2 * dim], pairs[..., -2 * dim :]
    linear, quadratic = ops.split(parents, 2, axis=3)
    # Two products, because PyTorch is slower with halves of one.
    return _products(coupling, linear) + votes * _products(coupling, 2.0 * quadratic)


def _products(coupling, parents):
    return ops.matmul(ops.transpose(coupling, (1, 2, 3, 0)), ops.transpose(parents, (1, 2, 0, 3)))


def join(*values):
    return ops.concatenate(values, axis=2)
