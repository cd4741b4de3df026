"""Reads a Keras model for an export: its inputs and outputs by name, its scores, its layers."""

import contextlib
import itertools
import math
import re
import traceback
from collections.abc import Iterator

import keras

from export.errors import ConversionError, ExportError, in_words
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
        if names.count(name) > 1 or not re.fullmatch(
            r"[A-Za-z0-9.][A-Za-z0-9_.\\/>-]{0,249}", name
        ):
            raise ConversionError(
                "The names of inputs and outputs must differ, and have letters without accents, "
                "digits, '_', '.', '-' and '/' only, at most 250, as names in the file. Rename the "
                f"layer, or the key of the output dictionary. Received: {names}"
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
    """Runs the model for inference on its flat inputs, and returns its flat outputs.

    Raises:
        ConversionError: If a layer fails. The message names it.
    """
    packed = inputs[0] if isinstance(model, keras.Sequential) else inputs
    if not isinstance(model, keras.Sequential):
        packed = keras.tree.pack_sequence_as(model.input, inputs)
    with naming_the_layer("The model does not run", "Try it with model.predict."):
        return keras.tree.flatten(model(packed, training=False))


@contextlib.contextmanager
def naming_the_layer(what: str, remedy: str) -> Iterator[None]:
    """Turns what a layer raises into a `ConversionError` that names the layer.

    Args:
        what: What failed, as the start of the message.
        remedy: What to do instead, as a sentence.
    """
    filtered = keras.config.is_traceback_filtering_enabled()
    keras.config.disable_traceback_filtering()  # Keras would hide the layers in the traceback.
    try:
        yield
    except Exception as error:  # A layer may raise any class.
        own, layer = _own(error)
        if isinstance(own, ExportError):  # From a patch of Keras, with a remedy.
            raise own from error
        where = f", in {type(layer).__name__} {layer.name!r}" if layer else ""
        raise ConversionError(
            f"{what}{where}: {in_words(own).removesuffix('.')}. {remedy}"
        ) from error
    finally:
        if filtered:
            keras.config.enable_traceback_filtering()


def _own(error):
    """Returns the first error that passed through a layer, and that layer.

    Keras and TensorFlow make others from it.
    """
    chain = [error]
    while chain[-1].__context__ is not None:
        chain.append(chain[-1].__context__)
    for first in reversed(chain):
        layer = _layer_of(first)
        if layer is not None:
            return first, layer
    return error, None


def _layer_of(error):
    """Returns the innermost layer or operation that was at work."""
    objects = [frame.f_locals.get("self") for frame, _ in traceback.walk_tb(error.__traceback__)]
    inner = [self for self in objects if isinstance(self, keras.Operation)]
    return inner[-1] if inner else None
