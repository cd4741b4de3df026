"""The statistics of the comparison, against the equations in float64 NumPy."""

import math

import numpy as np
import pytest
from conftest import once

from benchmarks.settle import claims, statistics

pytestmark = once


def scores_and_labels(generator, samples=500):
    labels = generator.integers(10, size=samples)
    logits = generator.normal(size=(samples, 10)) + 2 * np.eye(10)[labels]
    return np.exp(logits) / np.exp(logits).sum(axis=1, keepdims=True), labels, logits


def test_the_interval_is_students(generator):
    values = generator.normal(size=5)
    deviation = math.sqrt(sum((value - sum(values) / 5) ** 2 for value in values) / 4)
    half = 2.7764451 * deviation / math.sqrt(5)  # From a table, for four degrees of freedom.
    found = statistics.interval(values)
    assert found.mean == pytest.approx(sum(values) / 5)
    assert (found.low, found.high) == pytest.approx((found.mean - half, found.mean + half))


def test_the_interval_covers_the_mean_95_times_in_100(generator):
    found = [statistics.interval(values) for values in generator.normal(1, 2, (2000, 5))]
    assert np.mean([each.low < 1 < each.high for each in found]) == pytest.approx(0.95, abs=0.02)


def test_one_seed_has_no_interval():
    assert statistics.interval([0.5]) == (0.5, -math.inf, math.inf, 1)


@pytest.mark.parametrize(
    "low, high, more, expected",
    [
        (0.2, 0.3, True, "holds"),
        (0.2, 0.3, False, "does not"),
        (-0.3, 0.05, True, "does not"),
        (-0.3, 0.05, False, "holds"),
        (0.05, 0.2, True, "cannot be told"),
        (0.05, 0.2, False, "cannot be told"),
    ],
)
def test_verdicts(low, high, more, expected):
    found = statistics.Interval((low + high) / 2, low, high, 5)
    assert statistics.verdict(found, 0.1, more) == expected
    assert statistics.verdict(found._replace(number=4), 0.1, more) == "cannot be told"


def test_a_claim_about_several_heads():
    assert statistics.agreed(["holds", "holds"]) == "holds"
    assert statistics.agreed(["does not", "does not"]) == "does not"
    assert statistics.agreed(["holds", "does not"]) == "cannot be told"
    assert statistics.agreed(["holds", "cannot be told"]) == "cannot be told"
    assert statistics.agreed([]) == "cannot be told"


def test_calibration_error(generator):
    scores, labels, _ = scores_and_labels(generator)
    expected = 0.0
    for number in range(15):
        low, high = number / 15, (number + 1) / 15
        inside = [row for row in range(500) if low <= scores[row].max() < high]
        if inside:
            sure = sum(scores[row].max() for row in inside) / len(inside)
            right = sum(scores[row].argmax() == labels[row] for row in inside) / len(inside)
            expected += len(inside) / 500 * abs(sure - right)
    assert statistics.calibration_error(scores, labels) == pytest.approx(expected)
    certain = np.eye(10)[labels]
    assert statistics.calibration_error(certain, labels) == 0
    assert statistics.calibration_error(certain, (labels + 1) % 10) == 1


def test_brier(generator):
    scores, labels, _ = scores_and_labels(generator)
    expected = sum(
        (scores[row, k] - (labels[row] == k)) ** 2 for row in range(500) for k in range(10)
    )
    assert statistics.brier(scores, labels) == pytest.approx(expected / 500)


def test_the_temperature_is_the_best_of_a_grid(generator):
    _, labels, logits = scores_and_labels(generator)

    def loss(divisor):
        scores = np.exp(logits / divisor)
        right = scores[np.arange(500), labels] / scores.sum(axis=1)
        return -np.log(right).mean()

    grid = np.geomspace(0.05, 20, 4000)
    best = grid[np.argmin([loss(divisor) for divisor in grid])]
    assert statistics.temperature(logits, labels) == pytest.approx(best, rel=0.01)
    assert statistics.temperature(3 * logits, labels) == pytest.approx(3 * best, rel=0.01)
    expected = np.exp(logits / 2) / np.exp(logits / 2).sum(axis=1, keepdims=True)
    np.testing.assert_allclose(statistics.scaled(logits, 2), expected)


def test_auroc_counts_pairs(generator):
    positive, negative = generator.integers(0, 8, 40), generator.integers(0, 6, 30)
    pairs = [(a > b) + 0.5 * (a == b) for a in positive for b in negative]
    assert statistics.auroc(positive, negative) == pytest.approx(np.mean(pairs))
    assert statistics.auroc(np.array([2, 3]), np.array([0, 1])) == 1


def test_heads_that_no_other_beats():
    """`uniform` is 0.05 points behind `dense`, which does not matter, and `em` always a point."""

    def rows(head, accuracies):
        run = {"task": "mnist", "head": head, "loss": "margin"}
        return [run | {"seed": seed, "accuracy": a} for seed, a in enumerate(accuracies)]

    best = [0.991, 0.992, 0.990, 0.993, 0.991]
    found = rows("dense", best)
    found += rows("uniform", [value - 0.0005 for value in best])
    found += rows("em", [value - 0.01 for value in best])
    found += rows("kmeans", [0.992, 0.9, 0.991, 0.992, 0.9])  # Nothing can be told.
    found += rows("heinsen", [0.9])  # One seed is too few.
    expected = {"dense", "uniform", "kmeans", "heinsen"}
    assert set(claims.unbeaten("mnist", "margin", found)) == expected
    assert claims.unbeaten("mnist", "cross_entropy", found) == []
