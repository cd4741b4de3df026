"""Decides how far a file may differ from the model.

The tolerance is derived. The model's rounding error is its difference from the float64 model on the
same inputs. A file that sums in another order may differ by a few times this error, but not by
more. If there is no float64 model, because a layer insists on float32, the tolerance is fixed.
"""

import keras
import numpy as np

from export.compare.run import run_keras
from export.compare.suites import Suite, last_bits_changed
from export.results import Kind

ROUNDINGS = 8
"""Factor on the model's rounding error by which a file may differ from the model."""
FLOOR = 1e-6
"""Smallest tolerance, times the scale of the output, in case the model happens not to round."""
LIMIT = 1e-4
"""Largest tolerance, times the scale of the output, however much the model rounds."""
WITHOUT_FLOAT64 = 1e-5
"""Tolerance, times the scale of the output, if the rounding error cannot be measured."""
TOLERANCE = {"roundings": ROUNDINGS, "floor": FLOOR, "limit": LIMIT}

_RUNS_OF_HUGE = 4


def allowed_difference(rounding: float | None, scale: float) -> float:
    """Returns the largest absolute difference that passes.

    It is `ROUNDINGS * rounding`, but at least `FLOOR * scale` and at most `LIMIT * scale`. If
    `rounding` is `None`, it is `WITHOUT_FLOAT64 * scale`.
    """
    if rounding is None:
        return WITHOUT_FLOAT64 * scale
    return min(max(ROUNDINGS * rounding, FLOOR * scale), LIMIT * scale)


def scale_of(array: np.ndarray) -> float:
    """Returns `max(1, max(abs(array)))` over the finite values."""
    return max(1.0, float(np.abs(array[np.isfinite(array)]).max(initial=0.0)))


def roundings(
    model: keras.Model,
    suites: list[Suite],
    expected: list[list[np.ndarray]],
    references: list[list[np.ndarray]] | str,
) -> list[list[float | None]]:
    """Returns the model's rounding error in each output, for each suite.

    Args:
        model: The Keras model.
        suites: The inputs.
        expected: Outputs of the model for each suite.
        references: Outputs of the float64 model, or the reason why there are none.
    """
    if isinstance(references, str):
        return [[None] * len(outputs) for outputs in expected]
    own = [list(map(_error, *pair)) for pair in zip(expected, references, strict=True)]
    for number, suite in enumerate(suites):
        # Votes decide by differences as small as their rounding, so one run may be right by chance.
        for seed in range(_RUNS_OF_HUGE) if suite.kind is Kind.HUGE else ():
            again = run_keras(model, last_bits_changed(suite, seed))
            own[number] = list(map(max, own[number], map(_error, again, references[number])))
    errors = np.array(own)
    ordinary = errors[[suite.kind is Kind.RANDOM for suite in suites]].max(axis=0)
    return np.maximum(errors, ordinary).tolist()


def tolerance_in_words(references: list[list[np.ndarray]] | str) -> str:
    """Returns the origin of the tolerance in words."""
    if isinstance(references, str):
        return (
            f"{WITHOUT_FLOAT64:.0e} times the largest output above 1, because the model's rounding "
            f"cannot be measured: it does not run in float64 ({references})"
        )
    return (
        f"{ROUNDINGS} times the model's rounding, measured against float64 on the same "
        f"inputs, but {FLOOR:.0e} to {LIMIT:.0e} times the largest output above 1"
    )


def _error(outputs, expected):
    with np.errstate(invalid="ignore"):  # Infinity minus infinity.
        error = np.abs(outputs.astype("float64") - expected)
    return np.where(np.isfinite(error), error, 0.0).max(initial=0.0)
