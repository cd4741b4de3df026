"""Computes the outputs of a model in float64, and thus without its rounding error.

The difference from these outputs is the model's rounding error on the same inputs. It decides how
far a file may differ from the model.
"""

import tempfile
from pathlib import Path

import keras
import numpy as np

from export.admit.precision import with_precision
from export.compare.run import run_keras
from export.compare.suites import Suite

_ALIKE = 0.01
"""Largest difference, far above rounding, at which both still count as the same model."""


def float64_outputs(model: keras.Model, suites: list[Suite]) -> list[list[np.ndarray]] | str:
    """Returns the float64 model's outputs for each suite, or the reason why there are none.

    The backend must compute in float64, as TensorFlow does. The first suite has ordinary inputs.
    """
    try:
        float64 = _float64_model(model)
        outputs = [run_keras(float64, suite) for suite in suites]
    except Exception as error:  # A custom layer that insists on float32 may raise any class.
        return f"{type(error).__name__}: {error}".partition("\n")[0]
    for own, other in zip(run_keras(model, suites[0]), outputs[0], strict=True):
        if not np.allclose(own, other, rtol=_ALIKE, atol=_ALIKE, equal_nan=True):
            return "it computes something else there, because a layer saves only part of its state"
    return outputs


def _float64_model(model):
    config = keras.saving.serialize_keras_object(model)
    float64 = keras.saving.deserialize_keras_object(with_precision(config, "float64"))
    with tempfile.TemporaryDirectory() as folder:  # Layers derive values from loaded weights.
        path = Path(folder) / "model.weights.h5"
        model.save_weights(path)
        float64.load_weights(path)
    return float64
