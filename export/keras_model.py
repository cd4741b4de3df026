"""Reads a Keras model for an export: its inputs and outputs by name, its scores, its layers."""

import itertools
import math
import re

import keras

from export.errors import ConversionError
from keras_capsules import _graph


def check_exportable(model: keras.Model) -> None:
    """Raises a `ConversionError` for a model that ONNX, or a file of the export, cannot hold.

    Raises:
        ConversionError: If an input is sparse, ragged, text or of unknown rank, if names are not
            possible in a file, or if a layer computes with text.
    """
    for tensor in model.inputs:
        fault = _fault_of_input(tensor)
        if fault:
            raise ConversionError(
                f"ONNX takes dense arrays of numbers. The input {_graph.name_of(tensor)!r} {fault}"
            )
    names = input_names(model) + output_names(model)
    for name in names:
        if names.count(name) > 1 or not re.fullmatch(r"[A-Za-z0-9.][A-Za-z0-9_.\\/>-]*", name):
            raise ConversionError(
                "The names of inputs and outputs must differ, and have letters without accents, "
                "digits, '_', '.', '-' and '/' only, as names in the file. Rename the layer, "
                f"or the key of the output dictionary. Received: {names}"
            )
    for layer in _graph.layers_within(model):
        if layer.compute_dtype == "string":
            raise ConversionError(
                "The export is for models that take numbers. Turn words and classes into numbers "
                f"before the model. Received: layer {layer.name!r}, which computes with text"
            )


def _fault_of_input(tensor):
    """Returns why a file cannot have an input, with the remedy, or `None`."""
    if tensor.shape is None:
        return "has an unknown rank. Give keras.Input a shape, with None for each open size."
    if tensor.sparse or tensor.ragged:
        kind = "sparse" if tensor.sparse else "ragged"
        return f"is {kind}. Build the model on keras.Input(shape, {kind}=False)."
    if tensor.dtype == "string":
        return "takes text. Turn the text into numbers before the model."
    return None


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
    taken, unique = input_names(model), []
    for name in names:
        name = f"{name}_output" if name in taken else name
        free = (f"{name}_{number}" for number in itertools.count(1))
        unique.append(
            name if name not in unique else next(n for n in free if n not in [*names, *unique])
        )
    return unique


def scored_output(model: keras.Model) -> int:
    """Returns the index of the output `scores`, or of the first one, as `export.device` does."""
    names = output_names(model)
    return names.index("scores") if "scores" in names else 0


def scored_model(model: keras.Model) -> keras.Model:
    """Returns the model with its scores as the only output. Both models share their layers."""
    return keras.Model(_graph.ends(model)[0], model.outputs[scored_output(model)])


def output_shapes(model: keras.Model, inputs: list) -> list[tuple]:
    """Returns the shapes of the flat outputs for flat inputs, without running the model."""
    specs = [keras.KerasTensor(array.shape, array.dtype.name) for array in inputs]
    sequential = isinstance(model, keras.Sequential)
    packed = specs[0] if sequential else keras.tree.pack_sequence_as(model.input, specs)
    return [tuple(x.shape) for x in keras.tree.flatten(model.compute_output_spec(packed))]


def values_of_sample(model: keras.Model) -> int:
    """Returns how many values the layers of a model make of one sample, at open axes of 1."""
    count = 0
    for operation in model.operations if hasattr(model, "operations") else model.layers:
        inside = values_of_sample(operation) if _graph.is_graph(operation) else 0
        shapes = [x.shape for call in _graph.calls(operation) for x in call.outputs]
        count += inside + sum(math.prod(size or 1 for size in shape) for shape in shapes)
    return count


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
