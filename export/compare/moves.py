"""Checks that the outputs of a model are numbers, and that they depend on its inputs."""

import keras
import numpy as np

from export import keras_model
from export.compare.run import run_keras
from export.compare.suites import Suite, SuiteSet
from export.errors import ConversionError
from export.results import Kind
from keras_capsules import _graph

_ORDINARY = (Kind.RANDOM, Kind.REAL)


def warnings(model: keras.Model, suites: SuiteSet, expected: list[list[np.ndarray]]) -> list[str]:
    """Returns a warning for each output that is sometimes no number, or always the same.

    Args:
        model: The Keras model.
        suites: The inputs.
        expected: Outputs of the model for each suite that is compared in every setting.

    Raises:
        ConversionError: If an output has no finite number on any ordinary input.
    """
    pairs = zip(suites.compared, expected, strict=True)
    ordinary = [(suite, outputs) for suite, outputs in pairs if suite.kind in _ORDINARY]
    most = max((suite for suite, _ in ordinary), key=lambda suite: suite.samples)
    found = []
    for index, name in enumerate(keras_model.output_names(model)):
        arrays = [outputs[index] for _, outputs in ordinary]
        finite = [np.isfinite(array) for array in arrays]
        if not any(map(np.any, finite)) and any(array.size for array in arrays):
            raise ConversionError(
                f"The output {name!r} is NaN or infinite for every ordinary input, so there is "
                f"nothing to compare. {_cause(model)}"
            )
        if not all(map(np.all, finite)):
            found.append(f"The output {name!r} is NaN or infinite for some ordinary inputs.")
        several = [array for array in arrays if array.ndim and len(array) > 1]
        if several and all(map(_same_for_all, several)):
            found.append(
                f"The output {name!r} is the same for all random and real inputs. From the layer "
                f"{_first_unmoved(model, most)!r} on, nothing depends on them."
            )
    return found


def _same_for_all(array):
    """Returns whether all samples have the same values."""
    return np.array_equal(array, np.broadcast_to(array[:1], array.shape), equal_nan=True)


def _cause(model):
    """Names weights that are no numbers."""
    for weight in model.weights:
        values = keras.ops.convert_to_numpy(weight)
        if values.dtype.kind == "f" and not np.isfinite(values).all():
            return f"The weight {weight.path!r} has NaN or infinity: the training diverged."
    return "Pass real inputs with --data (in Python: data=...), or another --input-range."


def _first_unmoved(model: keras.Model, suite: Suite) -> str:
    """Returns the first layer on the way to the outputs that is the same for all samples."""
    calls = _graph.calls_in_order(model.inputs, model.outputs)
    tensors = [tensor for call in calls for tensor in call.outputs]
    values = run_keras(keras.Model(model.inputs, tensors), suite)
    pairs = zip(tensors, values, strict=True)
    same = {id(x): array.ndim > 0 and _same_for_all(array) for x, array in pairs}
    return next(
        call.operation.name for call in calls if any(same[id(tensor)] for tensor in call.outputs)
    )
