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


def dynamic_leaky(votes, iterations=3):
    """Procedure 1 with one more logit, of zero, in the softmax, which no parent takes."""
    votes = np.asarray(votes, "float64")
    batch, children, parents, dim = votes.shape
    all_v, all_c = np.zeros((batch, parents, dim)), np.zeros((batch, children, parents))
    for n in range(batch):
        b = np.zeros((children, parents))
        for _ in range(iterations):
            c = softmax_over_parents(np.hstack([b, np.zeros((children, 1))]))[:, :parents]
            v = squash(np.einsum("ij,ijd->jd", c, votes[n]))
            b = b + np.einsum("ijd,jd->ij", votes[n], v)
        all_v[n], all_c[n] = v, c
    return all_v, all_c


def kmeans(votes, iterations=3, squash_output=True):
    """arXiv 1810.09177: the logits are replaced, not summed."""
    votes = np.asarray(votes, "float64")
    batch, children, parents, dim = votes.shape
    all_o, all_c = np.zeros((batch, parents, dim)), np.zeros((batch, children, parents))
    for n in range(batch):
        o = votes[n].mean(axis=0) * children / parents
        for _ in range(iterations):
            b = np.array(
                [
                    [votes[n, i, j] @ o[j] / np.linalg.norm(o[j]) for j in range(parents)]
                    for i in range(children)
                ]
            )
            c = softmax_over_parents(b)
            o = np.einsum("ij,ijd->jd", c, votes[n])
        all_o[n], all_c[n] = squash(o) if squash_output else o, c
    return all_o, all_c


def self_attention(votes, prior):
    """arXiv 2101.12491, with the pairs of children one by one."""
    votes, prior = np.asarray(votes, "float64"), np.asarray(prior, "float64")
    batch, children, parents, dim = votes.shape
    all_v, all_c = np.zeros((batch, parents, dim)), np.zeros((batch, children, parents))
    for n in range(batch):
        b = np.zeros((children, parents))
        for i in range(children):
            for j in range(parents):
                b[i, j] = sum(votes[n, i, j] @ votes[n, k, j] for k in range(children))
        c = softmax_over_parents(b / np.sqrt(dim)) + prior
        s = np.einsum("ij,ijd->jd", c, votes[n])
        norm = np.linalg.norm(s, axis=-1, keepdims=True)
        all_v[n], all_c[n] = (1 - np.exp(-norm)) * s / norm, c
    return all_v, all_c


def inverted_dot_product(votes, gamma, beta, iterations=2, epsilon=1e-5):
    """arXiv 2002.04764, algorithm 1, for one layer."""
    votes = np.asarray(votes, "float64")
    batch, children, parents, dim = votes.shape

    def layer_norm(p):
        centered = p - p.mean(axis=-1, keepdims=True)
        return centered / np.sqrt(p.var(axis=-1, keepdims=True) + epsilon) * gamma + beta

    all_p, all_c = np.zeros((batch, parents, dim)), np.zeros((batch, children, parents))
    for n in range(batch):
        p = layer_norm(votes[n].sum(axis=0) / parents)
        for _ in range(iterations):
            c = softmax_over_parents(np.einsum("ijd,jd->ij", votes[n], p) / np.sqrt(dim))
            p = layer_norm(np.einsum("ij,ijd->jd", c, votes[n]))
        all_p[n], all_c[n] = p, c
    return all_p, all_c


def squeeze_excitation(votes, w1, b1, w2, b2):
    """One gate for each child and parent, from the means of the votes for that parent."""
    votes = np.asarray(votes, "float64")
    parents = votes.shape[2]
    z = votes.mean(axis=-1)
    coupling = np.zeros_like(z)
    for j in range(parents):
        hidden = np.maximum(z[:, :, j] @ w1 + b1, 0)
        coupling[:, :, j] = 1 / (1 + np.exp(-(hidden @ w2 + b2))) / parents
    return squash(np.einsum("bij,bijd->bjd", coupling, votes)), coupling


def self_routing(votes, activations, poses, kernel, bias):
    """Self-Routing Capsule Networks, equations 4 to 6."""
    votes, a, u = (np.asarray(x, "float64") for x in (votes, activations, poses))
    batch, children, parents, dim = votes.shape
    r = np.zeros((batch, children, parents))
    for n in range(batch):
        logits = np.array([u[n, i] @ kernel[i] + bias[i] for i in range(children)])
        r[n] = softmax_over_parents(logits)
    weights = a[:, :, None] * r
    mass = weights.sum(axis=1)
    poses = np.einsum("bij,bijd->bjd", weights, votes) / mass[:, :, None]
    return poses, mass / a.sum(axis=1, keepdims=True), r


def log_gaussian(x, mean, variance):
    """Log of the density of a Gaussian with diagonal covariance."""
    return -0.5 * np.sum((x - mean) ** 2 / variance + np.log(2 * np.pi * variance), axis=-1)


def sigmoid(x):
    return 1 / (1 + np.exp(-x))


def weighted_gaussian(votes, weights, epsilon):
    """Mean and variance of each parent's votes (children, parents, dim), one parent at a time."""
    parents, dim = votes.shape[1:]
    mean, variance = np.zeros((parents, dim)), np.zeros((parents, dim))
    for j in range(parents):
        w = weights[:, j] / weights[:, j].sum()
        mean[j] = w @ votes[:, j]
        variance[j] = w @ (votes[:, j] - mean[j]) ** 2 + epsilon
    return mean, variance


def among_those_that_see(seen, votes):
    """Equal shares of each child (children, parents) among the parents that see it."""
    seen = np.ones(votes.shape[1:3], "bool") if seen is None else seen
    shares = seen / np.maximum(seen.sum(axis=1, keepdims=True), 1)
    return seen, np.repeat(shares[None], len(votes), axis=0)


def em(
    votes, activations, beta_u, beta_a, iterations=3, final_lambda=0.01, epsilon=1e-4, seen=None
):
    """Matrix Capsules with EM Routing, procedure 1.

    In a convolution the parents are those of all cells; `seen` says which child each of them sees.
    """
    votes, activations = np.asarray(votes, "float64"), np.asarray(activations, "float64")
    batch, children, parents, dim = votes.shape
    poses, presence = np.zeros((batch, parents, dim)), np.zeros((batch, parents))
    seen, coupling = among_those_that_see(seen, votes)
    for n in range(batch):
        for t in range(iterations):
            r = coupling[n] * activations[n][:, None]
            mean, variance = weighted_gaussian(votes[n], r, epsilon)
            cost = (beta_u[:, None] + np.log(np.sqrt(variance))) * r.sum(axis=0)[:, None]
            a = sigmoid(final_lambda * (1 - 0.95 ** (t + 1)) * (beta_a - cost.sum(axis=1)))
            if t < iterations - 1:
                logits = np.log(a) + log_gaussian(votes[n], mean, variance)
                coupling[n] = softmax_over_parents(np.where(seen, logits, -1e300)) * seen
        poses[n], presence[n] = mean, a
    return poses, presence, coupling


def heinsen(votes, activations, beta_use, beta_ign, iterations=3, epsilon=1e-5):
    """arXiv 1911.00792, algorithm 1."""
    votes, f = np.asarray(votes, "float64"), np.asarray(activations, "float64")
    batch, children, parents, dim = votes.shape
    poses, presence = np.zeros((batch, parents, dim)), np.zeros((batch, parents))
    coupling = np.full((batch, children, parents), 1 / parents)
    for n in range(batch):
        for t in range(iterations):
            used = f[n][:, None] * coupling[n]
            ignored = f[n][:, None] - used
            z = (beta_use * used).sum(axis=0) - (beta_ign * ignored).sum(axis=0)
            mean, variance = weighted_gaussian(votes[n], used, epsilon)
            if t < iterations - 1:
                logits = np.log(sigmoid(z)) + log_gaussian(votes[n], mean, variance)
                coupling[n] = softmax_over_parents(logits)
        poses[n], presence[n] = mean, sigmoid(z)
    return poses, presence, coupling


def digamma(x):
    """By its series, -gamma + sum_k (1 / (k + 1) - 1 / (k + x)), with the tail as an integral."""
    k = np.arange(20_000.0)
    x = np.asarray(x, "float64")
    terms = 1 / (k + 1) - 1 / (k + x[..., None])
    tail = np.log((len(k) + x - 0.5) / (len(k) + 0.5))
    return -0.57721566490153286 + terms.sum(axis=-1) + tail


def variational_bayes(
    votes,
    activations,
    beta_u,
    beta_a,
    iterations=3,
    alpha0=1,
    kappa0=1,
    psi0=1,
    nu0=None,
    seen=None,
    cells=1,
):
    """arXiv 1905.11455, algorithm 1, with a diagonal precision and no batch normalization.

    In a convolution as `em`; the parents of each of the `cells` share one Dirichlet prior.
    """
    votes, activations = np.asarray(votes, "float64"), np.asarray(activations, "float64")
    batch, children, parents, dim = votes.shape
    nu0 = dim + 1 if nu0 is None else nu0
    poses, presence = np.zeros((batch, parents, dim)), np.zeros((batch, parents))
    seen, coupling = among_those_that_see(seen, votes)
    for n in range(batch):
        for t in range(iterations):
            r = coupling[n] * activations[n][:, None]
            mass = r.sum(axis=0)
            alpha, kappa, nu = alpha0 + mass, kappa0 + mass, nu0 + mass
            mean = np.einsum("ij,ijd->jd", r, votes[n]) / mass[:, None]
            m = mass[:, None] * mean / kappa[:, None]
            psi = psi0 + np.einsum("ij,ijd->jd", r, (votes[n] - mean) ** 2)
            psi = psi + (mass / kappa)[:, None] * mean**2
            of_cell = alpha.reshape(cells, -1).sum(axis=1).repeat(parents // cells)
            log_pi = digamma(alpha) - digamma(of_cell)
            log_det = sum(digamma((nu - d) / 2) for d in range(dim)) + dim * np.log(2)
            log_det = log_det - np.log(psi).sum(axis=1)
            if t < iterations - 1:
                distance = ((votes[n] - m) ** 2 / psi).sum(axis=2)
                log_p = 0.5 * log_det - 0.5 * dim * np.log(2 * np.pi)
                log_p = log_p - 0.5 * (dim / kappa + nu * distance)
                logits = np.where(seen, log_pi + log_p, -1e300)
                coupling[n] = softmax_over_parents(logits) * seen
        entropy = 0.5 * dim * np.log(2 * np.pi * np.e) - 0.5 * log_det
        poses[n], presence[n] = m, sigmoid(beta_a - (np.exp(log_pi) * entropy + beta_u))
    return poses, presence, coupling
