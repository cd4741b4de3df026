"""Measures how far a model that computes in another precision is from float32."""

import numpy as np

from export.admit.prepare import Prepared
from export.compare.run import run_keras
from export.compare.suites import Suite
from export.results import MixedPrecision


def mixed_precision(prepared: Prepared, suite: Suite) -> MixedPrecision | None:
    """Measures how far a model of another precision is from float32."""
    if prepared.mixed is None:
        return None
    pairs = zip(run_keras(prepared.mixed, suite), run_keras(prepared.model, suite), strict=True)
    differences = [
        (np.abs(own.astype("float64") - exact).max(initial=0.0), np.abs(exact).max(initial=0))
        for own, exact in pairs
    ]
    max_abs, scale = map(max, zip(*differences, strict=True))
    return MixedPrecision(prepared.policies, float(max_abs), float(scale))
