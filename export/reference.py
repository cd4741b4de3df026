"""What a model would compute without rounding: its outputs in float64.

The difference from them is the model's own rounding error on the same inputs, and says how far a
file may be from the model.
"""

import keras
import numpy as np

from export import suites
from export.suites import Suite


def float64_outputs(model: keras.Model, inputs: list[Suite]) -> list[list[np.ndarray]] | str:
    """Returns the flat outputs of a model's float64 twin for each suite, or why it has none.

    The backend must compute in float64, as TensorFlow does.
    """
    try:
        twin = _float64_twin(model)
        return [suites.run_keras(twin, suite) for suite in inputs]
    except Exception as error:  # A custom layer that insists on float32 raises what it likes.
        return f"{type(error).__name__}: {error}".partition("\n")[0]


def _float64_twin(model):
    config = keras.saving.serialize_keras_object(model)
    twin = keras.saving.deserialize_keras_object(_in_float64(config))
    twin.set_weights(model.get_weights())
    return twin


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
