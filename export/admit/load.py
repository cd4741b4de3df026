"""Loads a saved model whose archive, configuration and weights have been checked."""

import json
import math
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import keras

from export import keras_model
from export.admit import archive, budget, config, count, custom_objects, weights
from export.errors import ConversionError, RefusedInputError, in_words
from keras_capsules import _graph

_SECONDS, _SECONDS_OF_CALL = 15, 0.02  # A large network takes a tenth of it.
_BYTES, _BYTES_OF_WEIGHT = 512 << 20, 16
_VALUES = 1 << 29  # Keras keeps all of them while it runs the model: 2 GiB.


def unpack(path: Path, folder: Path, classes: Mapping[str, type] | None = None) -> dict[str, Any]:
    """Checks a `.keras` file and unpacks it into a folder.

    Args:
        path: Path of the file.
        folder: Path of the folder.
        classes: Classes of the model, if the user passed the model, see `config.check`.

    Returns:
        The model's custom classes and functions, by their names in the file.

    Raises:
        UsageError: If there is no such file.
        RefusedInputError: If the file is damaged or unsafe; see `archive` and `config`.
    """
    archive.unpack_model(path, folder)
    objects = config.check(folder / archive.CONFIG, str(path), classes)
    custom_objects.store(objects, folder)
    return objects


def load_model(
    folder: Path, name: str, objects: Mapping[str, Any] | None = None, trusted: bool = True
) -> keras.Model:
    """Loads a model that `unpack` has accepted.

    Args:
        folder: Path of the unpacked model.
        name: Name of the model's file, for messages.
        objects: Result of `unpack`, or `None` if these objects are registered.
        trusted: Whether the layers may take any time and memory to build.

    Raises:
        RefusedInputError: If the weights are damaged, if the layers need other or larger weights,
            if they take too long to build, or if they make values too large for a machine.
        ConversionError: If a layer is stateful.
    """
    content = json.loads((folder / archive.CONFIG).read_bytes())
    calls = count.check_calls(content, name)
    try:
        held = (weights.count if trusted else weights.count_apart)(folder / archive.WEIGHTS)
        seconds = math.inf if trusted else _SECONDS + _SECONDS_OF_CALL * calls
        model = _build(content, held, objects, name, seconds)
        model.load_weights(folder / archive.WEIGHTS)
    except ConversionError:
        raise
    except Exception as error:  # The type of Keras' error depends on the damage.
        reason = str(error) if isinstance(error, RefusedInputError) else in_words(error)
        raise RefusedInputError(
            f"{name} cannot be loaded. It may be damaged, unsafe, or saved by another version of "
            f"Keras than {keras.__version__}. Save the model again. ({reason})"
        ) from error
    for operation, shape in _values_within(model):
        if math.prod(size or 1 for size in shape) > count.MAX_VALUES:
            raise RefusedInputError(
                f"{name}: layer {operation.name!r} makes values of shape {shape}. More than "
                f"{count.MAX_VALUES} a sample cannot be verified."
            )
    values = keras_model.values_of_sample(model)
    if not trusted and values > _VALUES:
        raise RefusedInputError(
            f"{name}: the layers make {values} values of a sample, and at most {_VALUES} may come "
            "from a file. If you trust it, load it with keras.saving.load_model and pass the "
            "model: export.export_onnx(model, target)."
        )
    return model


def _build(content, held, objects, name, seconds):
    """Builds a model, and allocates memory for its weights only if the file can fill them.

    In a stateless scope a weight has a shape, but no memory yet. Keras has a list of such weights
    for each thread. The model is built in another thread, and the weights of a refused model are
    forgotten when this thread ends.

    Args:
        content: The checked configuration.
        held: Number of values in the file of weights.
        objects: Custom classes and functions by name, or `None`.
        name: Name of the model's file, for messages.
        seconds: The time that this may take.
    """
    _refuse_stateful(content)

    def build():
        with count.bounded_values(), _ShapesOnly(held):
            model = keras.saving.deserialize_keras_object(content, objects, safe_mode=True)
        _check_size(model.variables, held)
        with keras.StatelessScope():
            pass  # At the end of the scope Keras allocates the weights that have no memory.
        return model

    size = math.inf if seconds == math.inf else _BYTES + _BYTES_OF_WEIGHT * held
    try:
        return budget.run_within(build, seconds, f"{name}: building the layers", size)
    except (TypeError, ValueError) as error:  # Keras wraps what `from_config` raises.
        if "while in a stateless scope" not in str(error) or objects == {}:
            raise
    # Only layers of the user make variables of values, which have memory at once.
    model = keras.saving.deserialize_keras_object(content, objects, safe_mode=True)
    _check_size(model.variables, held)
    return model


def _refuse_stateful(content):
    """Raises a `ConversionError` for recurrent layers whose states are variables of the model."""
    if isinstance(content, dict):
        if content.get("stateful"):
            raise ConversionError(
                "A file has no state from one call to the next. Build the layer with "
                f"stateful=False. Received: layer {content.get('name')!r} with stateful=True"
            )
        content = list(content.values())
    for entry in content if isinstance(content, list) else ():
        _refuse_stateful(entry)


class _ShapesOnly(keras.StatelessScope):
    """Keeps weights without memory, even if a layer reads one that is too large."""

    def __init__(self, held):
        super().__init__(initialize_variables=False)
        self.held = held

    def get_current_value(self, variable):
        """Refuses to make the first value of a weight that the file cannot fill."""
        _check_size([variable], self.held)
        return super().get_current_value(variable)


def _check_size(variables, held):
    # A bit more than twice as many are allowed, because LoRA's weights are merged when saved.
    left = 2 * held + 65536
    for variable in variables:
        left -= math.prod(variable.shape)
        if left < 0:
            raise ValueError(
                f"layer {variable.path.rpartition('/')[0]!r} wants weights of shape "
                f"{tuple(variable.shape)}, but the file has only {held} numbers in all"
            )


def _values_within(model):
    """Yields the operations of a model and of its nested models, with their output shapes."""
    for operation in getattr(model, "operations", None) or getattr(model, "layers", ()):
        for call in _graph.calls(operation):
            yield from ((operation, tensor.shape) for tensor in call.outputs)
        if isinstance(operation, keras.Model):
            yield from _values_within(operation)
