"""Decides how far a file may differ from the model.

The tolerance is derived. The model's rounding error is its difference from the float64 model on the
same inputs. A file that sums in another order may differ by a few times this error, but not by
more. If there is no float64 model, because a layer insists on float32, the error is estimated: the
last bits of the inputs are changed, and the outputs change by about as much.
"""

import operator
from collections.abc import Mapping
from types import MappingProxyType

import keras
import numpy as np

from export.compare.run import run_keras
from export.compare.suites import Suite, last_bits_changed
from export.results import Kind

ROUNDINGS = 8
"""Factor on the model's rounding error by which a file may differ from the model."""
FLOOR = 1e-6
"""Smallest tolerance, times the scale of the output, in case the model happens not to round."""
WITHOUT_FLOAT64 = 1e-5
"""Smallest tolerance, times the scale of the output, if the rounding error is only estimated."""
TOLERANCE = {"roundings": ROUNDINGS, "floor": FLOOR}

SUSPICIOUS = 1e-4
"""Tolerance, times the scale of the output, above which the last bits of the inputs must matter.

Else the float64 model computes something else than the model, in another process. Where it computes
the same on ordinary inputs, it is the same model, and is believed on the others.
"""

_NEARBY = 4
_SMALLEST_SCALE = 1e-30


def allowed_difference(rounding: float, scale: float) -> float:
    """Returns the largest absolute difference that passes.

    It is `ROUNDINGS * rounding`, but at least `FLOOR * scale`.
    """
    return max(ROUNDINGS * rounding, FLOOR * scale)


def scale_of(array: np.ndarray) -> float:
    """Returns the largest absolute value among the finite ones, or the smallest scale."""
    largest = float(np.abs(array).max(initial=0.0))
    if not np.isfinite(largest):  # To pick the finite values takes much longer.
        largest = float(np.abs(array[np.isfinite(array)]).max(initial=0.0))
    return max(_SMALLEST_SCALE, largest)


def scales(suites: list[Suite], expected: list[list[np.ndarray]]) -> list[list[float]]:
    """Returns the scale of each output, for each suite: its own, or a larger one of random inputs.

    Args:
        suites: The inputs.
        expected: Outputs of the model for each suite.
    """
    own = np.array([list(map(scale_of, outputs)) for outputs in expected])
    return np.maximum(own, _largest_of_random(suites, own)).tolist()


def nearby_outputs(model: keras.Model, suite: Suite) -> list[list[np.ndarray]]:
    """Returns the model's outputs for inputs whose last bits were changed."""
    # Votes decide by differences as small as their rounding, so one run may be right by chance.
    return [run_keras(model, last_bits_changed(suite, seed)) for seed in range(_NEARBY)]


def roundings(
    model: keras.Model,
    suites: list[Suite],
    expected: list[list[np.ndarray]],
    references: list[list[np.ndarray]] | str,
    known: Mapping[int, list[list[np.ndarray]]] = MappingProxyType({}),
) -> list[list[float]]:
    """Returns the model's rounding error in each output, for each suite.

    Args:
        model: The Keras model.
        suites: The inputs.
        expected: Outputs of the model for each suite.
        references: Outputs of the float64 model, or the reason why there are none. The error is
            then estimated, and not below `WITHOUT_FLOAT64`.
        known: `nearby_outputs` by the index of the suite, as far as they are known.
    """
    estimated = isinstance(references, str)
    truths = expected if estimated else references
    sizes = np.array(scales(suites, expected))
    errors = np.array([list(map(_error, *pair)) for pair in zip(expected, truths, strict=True)])
    unlike = [
        bool((ROUNDINGS * own > SUSPICIOUS * size).any())
        for own, size in zip(errors, sizes, strict=True)
    ]
    ordinary = (suite.kind in (Kind.RANDOM, Kind.REAL) for suite in suites)
    same_model = not estimated and not any(map(operator.and_, ordinary, unlike))
    for number, suite in enumerate(suites):
        if not (suite.kind is Kind.HUGE or estimated or unlike[number]):
            continue
        nearby = known[number] if number in known else nearby_outputs(model, suite)
        effects = [list(map(_error, outputs, expected[number])) for outputs in nearby]
        if suite.kind is Kind.HUGE or estimated:
            off = [list(map(_error, outputs, truths[number])) for outputs in nearby]
            errors[number] = np.max([errors[number], *off], axis=0)
        if same_model:  # What saturates hides the last bits, and may still decide by them.
            continue
        most = np.maximum(SUSPICIOUS * sizes[number], ROUNDINGS**2 * np.max(effects, axis=0))
        errors[number] = np.minimum(errors[number], most / ROUNDINGS)
    if estimated:
        errors = np.maximum(errors, sizes * WITHOUT_FLOAT64 / ROUNDINGS)
    return np.maximum(errors, _largest_of_random(suites, errors)).tolist()


def _largest_of_random(suites, values):
    """Returns the largest value of each output over the suites of random inputs."""
    random = [suite.kind is Kind.RANDOM for suite in suites]
    return values[random].max(axis=0) if any(random) else 0.0


def tolerance_in_words(references: list[list[np.ndarray]] | str) -> str:
    """Returns the origin of the tolerance in words."""
    if isinstance(references, str):
        return (
            f"{ROUNDINGS} times the effect of the inputs' last bits, but at least "
            f"{WITHOUT_FLOAT64:.0e} times the largest output, because the model's rounding cannot "
            f"be measured: it does not run in float64 ({references})"
        )
    return (
        f"{ROUNDINGS} times the model's rounding, measured against float64 on the same inputs, but "
        f"at least {FLOOR:.0e} times the largest output"
    )


def _error(outputs, expected):
    with np.errstate(invalid="ignore"):  # Infinity minus infinity.
        error = np.abs(outputs.astype("float64") - expected)
    return np.where(np.isfinite(error), error, 0.0).max(initial=0.0)
