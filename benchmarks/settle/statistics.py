"""The statistics of docs/which-one-rule.md, on NumPy arrays."""

import math
from typing import NamedTuple

import numpy as np
from scipy import optimize, special, stats

SEEDS = 5  # With fewer, nothing can be told.
BINS = 15


class Interval(NamedTuple):
    """A mean with its 95 % interval."""

    mean: float
    low: float
    high: float
    number: int


def interval(values) -> Interval:
    """Returns the mean of values, one for each seed, with Student's interval."""
    values = np.asarray(values, "float64")
    mean, number = float(values.mean()), len(values)
    if number < 2:
        return Interval(mean, -math.inf, math.inf, number)
    half = stats.t.ppf(0.975, number - 1) * values.std(ddof=1) / math.sqrt(number)
    return Interval(mean, float(mean - half), float(mean + half), number)


def verdict(found: Interval, smallest: float, more: bool) -> str:
    """Returns whether a difference is greater than the smallest that matters.

    Args:
        found: The difference.
        smallest: Float.
        more: Whether the claim says that it is greater, or that it is not.
    """
    if found.number < SEEDS or found.low <= smallest <= found.high:
        return "cannot be told"
    return "holds" if (found.low > smallest) == more else "does not"


def agreed(verdicts: list[str]) -> str:
    """Returns the verdict that all heads share."""
    first, *others = set(verdicts) or {"cannot be told"}
    return "cannot be told" if others else first


def calibration_error(scores, labels) -> float:
    """Returns the expected calibration error, in equal bins of the highest score."""
    highest, right = scores.max(axis=1), scores.argmax(axis=1) == labels
    bins = np.minimum((highest * BINS).astype(int), BINS - 1)
    gaps = np.bincount(bins, right - highest.astype("float64"), BINS)
    return float(np.abs(gaps).sum() / len(labels))


def brier(scores, labels) -> float:
    """Returns `mean(sum_k (score_k - y_k)^2)`."""
    wrong = np.array(scores, "float64")
    wrong[np.arange(len(labels)), labels] -= 1
    return float(np.square(wrong).sum(axis=1).mean())


def temperature(logits, labels) -> float:
    """Returns the temperature with the lowest negative log-likelihood, between 0.01 and 100."""
    logits = np.asarray(logits, "float64")

    def loss(exponent):
        found = special.log_softmax(logits / math.exp(exponent), axis=1)
        return -found[np.arange(len(labels)), labels].mean()

    limit = math.log(100)
    return math.exp(optimize.minimize_scalar(loss, bounds=(-limit, limit), method="bounded").x)


def scaled(logits, divisor: float) -> np.ndarray:
    return special.softmax(np.asarray(logits, "float64") / divisor, axis=1)


def auroc(positive, negative) -> float:
    """Returns how often a positive value is above a negative one; equal ones count half."""
    ranks = stats.rankdata(np.concatenate([positive, negative]))[: len(positive)]
    above = ranks.sum() - len(positive) * (len(positive) + 1) / 2
    return float(above / (len(positive) * len(negative)))
