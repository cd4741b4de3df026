"""Computes the outputs of a model in float64, that is, without its rounding error.

The difference from these outputs is the model's own rounding error on the same inputs, and decides
how far a file may be from the model.
"""

import tempfile
from pathlib import Path

import keras
import numpy as np

from export.compare.run import run_keras
from export.compare.suites import Suite

_ALIKE = 0.01
"""How far the two may differ, which is far more than rounding, and still count as one model."""


def float64_outputs(model: keras.Model, suites: list[Suite]) -> list[list[np.ndarray]] | str:
    """Returns the flat outputs of a model's float64 model for each suite, or why there is none.

    The backend must compute in float64, as TensorFlow does. The first suite holds ordinary inputs.
    """
    try:
        float64 = _float64_model(model)
        outputs = [run_keras(float64, suite) for suite in suites]
    except Exception as error:  # A custom layer that insists on float32 raises any class.
        return f"{type(error).__name__}: {error}".partition("\n")[0]
    for own, other in zip(run_keras(model, suites[0]), outputs[0], strict=True):
        if not np.allclose(own, other, rtol=_ALIKE, atol=_ALIKE, equal_nan=True):
            return "there it computes something else, as layers do that save less than they hold"
    return outputs


def _float64_model(model):
    config = keras.saving.serialize_keras_object(model)
    float64 = keras.saving.deserialize_keras_object(_in_float64(config))
    with tempfile.TemporaryDirectory() as folder:  # Layers derive values from what they load.
        path = Path(folder) / "model.weights.h5"
        model.save_weights(path)
        float64.load_weights(path)
    return float64


def _in_float64(config):
    """Returns a serialized object with each layer's dtype changed from float32 to float64."""
    if isinstance(config, list | tuple):
        return [_in_float64(entry) for entry in config]
    if not isinstance(config, dict):
        return config
    if config.get("class_name") == "DTypePolicy":
        name = config["config"]["name"].replace("float32", "float64")
        return {**config, "config": {"name": name}}
    changed = {key: _in_float64(value) for key, value in config.items()}
    if changed.get("dtype") == "float32":
        changed["dtype"] = "float64"
    return changed
