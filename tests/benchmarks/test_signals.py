"""Tests the comparison of networks for signals."""

import numpy as np
import pytest
from conftest import once

from benchmarks import lines, signals
from keras_capsules.datasets import files, series

pytestmark = once


def warped(one, other):
    """Computes the distance of two series by its definition, with the smallest of all paths."""

    def cost(i, j):
        here = np.sum((one[i] - other[j]) ** 2)
        if i == j == 0:
            return here
        steps = [(i - 1, j), (i, j - 1), (i - 1, j - 1)]
        return here + min(cost(*step) for step in steps if min(step) >= 0)

    return np.sqrt(cost(len(one) - 1, len(other) - 1))


def test_the_distance_is_that_of_the_best_path_without_the_filled_up_steps():
    numbers = np.random.default_rng(0)
    one, others = numbers.normal(size=(6, 3)), numbers.normal(size=(2, 6, 3))
    one[5:], others[1, 3:] = 0, 0
    expected = [warped(one[:5], others[0]), warped(one[:5], others[1][:3])]
    np.testing.assert_allclose(signals.distances(one, others), expected, rtol=1e-12)


@pytest.mark.slow
def test_a_run_becomes_a_line_that_is_not_repeated(tmp_path, capsys):
    if files.find(series.WHEEL) is None:
        pytest.skip(f"no {series.WHEEL}")
    few = ["--datasets", "basic_motions", "--names", "signal_cnn", "--seeds", "1", "--epochs", "1"]
    few += ["--results", str(tmp_path / "lines.jsonl")]
    signals.main(few)
    neighbour, network = lines.read(tmp_path / "lines.jsonl")
    assert (neighbour["name"], neighbour["accuracy"]) == (signals.NEIGHBOUR, 97.5)
    assert network["name"] == "signal_cnn" and network["parameters"] > 1000
    assert "| 97.50 |" in capsys.readouterr().out
    signals.main(few)
    assert "0 runs to do" in capsys.readouterr().out


def test_report_without_runs(tmp_path, capsys):
    with pytest.raises(SystemExit):
        signals.main(["--report", "--results", str(tmp_path / "none.jsonl")])
    assert "leave out --report" in capsys.readouterr().err
