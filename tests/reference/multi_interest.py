"""Algorithm 1 and section 3.4 of Li et al., CIKM 2019, arXiv 1904.08030, a user at a time."""

import math

import numpy as np

from reference.routing import softmax_over_parents


def squash(z):
    norm = np.linalg.norm(z)
    return np.zeros_like(z) if norm == 0 else norm**2 / (1 + norm**2) * z / norm


def interests_of(number, at_most):
    """K' of a user with this number of behaviours."""
    return max(1, min(at_most, int(math.log2(number)))) if number else 1


def multi_interest(behaviours, mask, kernel, logits, iterations=3, dynamic=True):
    """Returns interests (batch, K, dim) and which of them there are (batch, K).

    `behaviours` is (batch, length, in_dim), `logits` is (K, length).
    """
    kernel, logits = np.asarray(kernel, "float64"), np.asarray(logits, "float64")
    at_most = len(logits)
    interests = np.zeros((len(behaviours), at_most, kernel.shape[1]))
    there = np.zeros((len(behaviours), at_most), bool)
    for n, user in enumerate(behaviours):
        present = [i for i in range(len(user)) if mask[n][i]]
        number = interests_of(len(present), at_most) if dynamic else at_most
        there[n, :number] = True
        votes = {i: np.asarray(user[i], "float64") @ kernel for i in present}
        b = {i: logits[:number, i].copy() for i in present}
        for _ in range(iterations):
            w = {i: softmax_over_parents(b[i][None])[0] for i in present}
            for j in range(number):
                z = sum((w[i][j] * votes[i] for i in present), np.zeros(kernel.shape[1]))
                interests[n, j] = squash(z)
            for i in present:
                for j in range(number):
                    b[i][j] += interests[n, j] @ votes[i]
    return interests, there


def label_aware(interests, target, there, power):
    """Attention of each user's target over the user's interests, for matches above zero."""
    result = np.zeros((len(interests), interests.shape[2]))
    for n, user in enumerate(np.asarray(interests, "float64")):
        present = np.flatnonzero(there[n])
        scores = np.array([(user[k] @ target[n]) ** power for k in present])
        weights = np.exp(scores - scores.max())
        result[n] = sum(w * user[k] for w, k in zip(weights / weights.sum(), present, strict=True))
    return result
