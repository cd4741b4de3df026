"""Routings of Sabour, Frosst, Hinton, 2017, arXiv 1710.09829, and their uniform control."""

import numpy as np


def squash(s):
    """Equation 1, for vectors on the last axis that are not zero."""
    norm = np.linalg.norm(s, axis=-1, keepdims=True)
    return norm**2 / (1 + norm**2) * s / norm


def softmax_over_parents(b):
    """Equation 3: b is (children, parents)."""
    exponentials = np.exp(b - b.max(axis=1, keepdims=True))
    return exponentials / exponentials.sum(axis=1, keepdims=True)


def dynamic(votes, iterations=3):
    """Procedure 1, one sample at a time, one parent at a time.

    `votes` is (batch, children, parents, dim). Returns parents and coupling.
    """
    votes = np.asarray(votes, "float64")
    batch, children, parents, dim = votes.shape
    all_v, all_c = np.zeros((batch, parents, dim)), np.zeros((batch, children, parents))
    for n in range(batch):
        b = np.zeros((children, parents))
        v = np.zeros((parents, dim))
        for _ in range(iterations):
            c = softmax_over_parents(b)
            for j in range(parents):
                s_j = sum(c[i, j] * votes[n, i, j] for i in range(children))
                v[j] = squash(s_j)
            all_v[n], all_c[n] = v, c
            for i in range(children):
                for j in range(parents):
                    b[i, j] += votes[n, i, j] @ v[j]
    return all_v, all_c


def uniform(votes):
    """Every child divides its vote equally among the parents."""
    votes = np.asarray(votes, "float64")
    batch, children, parents, _ = votes.shape
    poses = squash(votes.sum(axis=1) / parents)
    return poses, np.full((batch, children, parents), 1 / parents)
