"""How far an output may be off, and where the tolerance comes from."""

import keras
import numpy as np
import pytest

from export.compare.outputs import compare_arrays
from export.compare.run import run_keras
from export.compare.suites import Suite
from export.compare.tolerance import ROUNDINGS, SUSPICIOUS, WITHOUT_FLOAT64, roundings, scales
from export.results import Kind, SuiteKey


def compare(expected, found, rounding=0.0):
    arrays = [np.asarray(array, "float32") for array in (expected, found)]
    return compare_arrays("scores", SuiteKey(Kind.RANDOM, 2, 2), *arrays, rounding)


@pytest.mark.parametrize(
    "rounding, scale, allowed",
    [
        (1e-6, 1.0, 8e-6),  # Measured.
        (1e-9, 1.0, 1e-6),  # The model happens not to round.
        (1e-9, 50.0, 5e-5),
        (1e-12, 1e-4, 1e-10),  # Small outputs.
        (0.01, 1.0, 0.08),  # However much it rounds.
    ],
)
def test_what_is_allowed(rounding, scale, allowed):
    found = compare([[scale, 0.0]], [[scale, 0.9 * allowed]], rounding)
    assert found.allowed == pytest.approx(allowed) and found.passed
    assert not compare([[scale, 0.0]], [[scale, 1.1 * allowed]], rounding).passed


def test_rounding_is_that_of_the_suite_or_of_the_random_ones():
    model = keras.Sequential([keras.Input((1,)), keras.layers.Identity()])
    kinds = [Kind.RANDOM, Kind.RANDOM, Kind.HUGE]
    found = [Suite(kind, [np.full((1, 1), 3, "float32")], 1) for kind in kinds]
    expected = [run_keras(model, suite) for suite in found]
    references = [[np.array([[3 + error]])] for error in (1e-6, 2e-6, 1e-5)]
    measured = np.ravel(roundings(model, found, expected, references))
    np.testing.assert_allclose(measured, [2e-6, 2e-6, 1e-5], rtol=0.1)


def test_a_float64_model_that_computes_something_else_excuses_nothing():
    model = keras.Sequential([keras.Input((1,)), keras.layers.Identity()])
    found = [Suite(Kind.RANDOM, [np.full((1, 1), 3, "float32")], 1)]
    expected = [run_keras(model, suite) for suite in found]
    ((rounding,),) = roundings(model, found, expected, [[np.array([[3.5]])]])
    assert ROUNDINGS * rounding == pytest.approx(3 * SUSPICIOUS)


def test_a_float64_model_that_is_right_on_ordinary_inputs_is_believed_on_others():
    """Saturated scores tie in float32, so that the best of them is decided by chance."""
    model = keras.Sequential([keras.Input((1,)), keras.layers.Identity()])
    kinds = [Kind.RANDOM, Kind.HUGE]
    found = [Suite(kind, [np.full((1, 1), 3, "float32")], 1) for kind in kinds]
    expected = [run_keras(model, suite) for suite in found]
    references = [[np.array([[value]])] for value in (3.0, 3.5)]
    measured = np.ravel(roundings(model, found, expected, references))
    np.testing.assert_allclose(measured, [0.0, 0.5], atol=1e-6)


def test_huge_inputs_may_be_right_by_chance():
    """A step function that rounds nothing, at its step: the next number is on the other side."""
    model = keras.Sequential([keras.Input((64,)), keras.layers.Lambda(lambda x: x > 1e4)])
    kinds = [Kind.RANDOM, Kind.HUGE]
    found = [Suite(kind, [np.full((2, 64), 1e4, "float32")], 2) for kind in kinds]
    expected = [run_keras(model, suite) for suite in found]
    assert not expected[0][0].any()
    references = [[output.astype("float64") for output in outputs] for outputs in expected]
    assert roundings(model, found, expected, references) == [[0.0], [1.0]]


def test_without_a_float64_model_the_last_bits_of_the_inputs_show_the_rounding():
    model = keras.Sequential([keras.Input((1,)), keras.layers.Rescaling(1e4, -1e4)])
    found = [Suite(Kind.RANDOM, [np.full((2, 1), 1.0001, "float32")], 2)]
    expected = [run_keras(model, suite) for suite in found]
    ((rounding,),) = roundings(model, found, expected, "not in float64")
    assert 1e-4 < rounding < 2e-3  # A bit of 1.0001 is 1.2e-7, and the factor is 1e4.
    plain = keras.Sequential([keras.Input((1,)), keras.layers.Identity()])
    ((rounding,),) = roundings(plain, found, [run_keras(plain, found[0])], "not in float64")
    assert rounding == pytest.approx(1.0001 * WITHOUT_FLOAT64 / ROUNDINGS, rel=0.1)


def test_the_scale_is_that_of_the_output_or_of_random_ones():
    kinds = [Kind.RANDOM, Kind.ZEROS, Kind.HUGE]
    found = [Suite(kind, [np.zeros((1, 1), "float32")], 1) for kind in kinds]
    expected = [[np.array([[value]], "float32")] for value in (1e-4, 0.0, 7.0)]
    assert scales(found, expected) == [[pytest.approx(1e-4)], [pytest.approx(1e-4)], [7.0]]
