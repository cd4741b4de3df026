"""Reads a Keras model for an export: its inputs and outputs by name, its scores, its layers."""

import itertools
import re

import keras

from export.errors import ConversionError
from keras_capsules import _graph


def check_exportable(model: keras.Model) -> None:
    """Raises an error for a model that has no readable graph, or that is not float32.

    Raises:
        ConversionError: If the model is neither functional nor sequential, if it has an input of
            unknown size, an output without batch axis, or names that a file cannot have, or if it
            computes in another precision.
    """
    if not getattr(model, "inputs", None):
        raise ConversionError(
            f"The model {model.name!r} is a {type(model).__name__} without inputs. "
            "Add them: inputs = keras.Input(...), "
            "model = keras.Model(inputs, model(inputs))."
        )
    for tensor in model.inputs:
        if None in tensor.shape[1:]:
            raise ConversionError(
                f"Only the batch axis may stay open. Give keras.Input a size for each other axis. "
                f"Received: input {tensor.name!r} of shape {tuple(tensor.shape)}"
            )
    for tensor in model.outputs:
        if len(tensor.shape) == 0 or tensor.shape[0] is not None:
            raise ConversionError(
                "Each output must keep the batch axis open. Make inputs as keras.Input(shape), "
                "without batch_shape. A model that was built by a call on data has the size of "
                f"that batch. Received: an output of shape {tensor.shape}"
            )
    names = input_names(model) + output_names(model)
    for name in names:
        if names.count(name) > 1 or not re.fullmatch(r"[A-Za-z0-9.][A-Za-z0-9_.\\/>-]*", name):
            raise ConversionError(
                "The names of inputs and outputs must differ, and have letters without accents, "
                "digits, '_', '.', '-' and '/' only, as names in the file. Rename the layer, "
                f"or the key of the output dictionary. Received: {names}"
            )
    for layer in _layers_within(model):
        if "float" not in (layer.compute_dtype or "float"):
            raise ConversionError(
                "The export is for models that take numbers and compute in float32. Turn words and "
                "classes into numbers before the model. Received: layer "
                f"{layer.name!r} with compute_dtype={layer.compute_dtype}"
            )
        if layer.compute_dtype not in ("float32", None):
            raise ConversionError(
                "The export is for models that compute in float32. Build the model under "
                'keras.config.set_dtype_policy("float32") and load the weights into it. '
                f"Received: layer {layer.name!r} with compute_dtype={layer.compute_dtype}"
            )


def _layers_within(model):
    """Yields the layers of a model and of its nested models."""
    for layer in model.layers:
        yield layer
        if isinstance(layer, keras.Model):
            yield from _layers_within(layer)


def input_names(model: keras.Model) -> list[str]:
    """Returns the names of the model's inputs as a flat list, in the model's order."""
    return [_graph.name_of(tensor) for tensor in model.inputs]


def output_names(model: keras.Model) -> list[str]:
    """Returns a flat list of the outputs' names: the keys of a dictionary, or layer names."""
    if isinstance(model, keras.Sequential):
        return [model.layers[-1].name]
    names = list(model.output_names)
    if isinstance(model.output, dict):
        paths = [path for path, _ in keras.tree.flatten_with_path(model.output)]
        names = ["_".join(map(str, path)) for path in paths]
    unique = []
    for name in names:
        free = (f"{name}_{number}" for number in itertools.count(1))
        unique.append(name if name not in unique else next(n for n in free if n not in names))
    return unique


def scored_output(model: keras.Model) -> int:
    """Returns the index of the output `scores`, or of the first one, as `export.device` does."""
    names = output_names(model)
    return names.index("scores") if "scores" in names else 0


def scored_model(model: keras.Model) -> keras.Model:
    """Returns the model with its scores as the only output. Both models share their layers."""
    return keras.Model(_graph.ends(model)[0], model.outputs[scored_output(model)])


def layer_names(model: keras.Model) -> set[str]:
    """Returns the names of the model's layers, and of nested layers that have weights."""
    names = {layer.name for layer in model.layers}
    return names.union(*(variable.path.split("/")[:-1] for variable in model.weights))


def call(model: keras.Model, inputs: list) -> list:
    """Runs the model for inference on its flat inputs, and returns its flat outputs."""
    packed = inputs[0] if isinstance(model, keras.Sequential) else inputs
    if not isinstance(model, keras.Sequential):
        packed = keras.tree.pack_sequence_as(model.input, inputs)
    return keras.tree.flatten(model(packed, training=False))


def shapes(names: list[str], tensors: list, batch: int | None) -> dict[str, tuple]:
    """Returns the shapes of inputs or outputs by name, with the given batch axis."""
    return {name: (batch, *x.shape[1:]) for name, x in zip(names, tensors, strict=True)}
