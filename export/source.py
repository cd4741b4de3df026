"""The Keras model to export: its file read with suspicion, its inputs and outputs by name."""

import itertools
import json
import re
import zipfile
from pathlib import Path

import keras

from export.errors import ConversionError, RefusedInputError, UsageError

# These run code that the archive brings along, or that it names.
_CODE = ("Lambda", "__lambda__", "TFSMLayer", "TorchModuleWrapper", "JaxLayer", "FlaxLayer")


def custom_modules(path: Path) -> list[str]:
    """Checks a `.keras` file and returns the modules that define its custom classes.

    Raises:
        UsageError: If there is no such file.
        RefusedInputError: If the file is damaged or of another kind, has a layer that runs code
            of its own, or a class or function that is not registered in an imported module.
    """
    modules = set()
    for entry, layer in _serialized_objects(_read_config(path)):
        kind = entry["class_name"]
        where = f"{path}: layer {layer!r}"
        if kind in _CODE:
            raise RefusedInputError(
                f"{where} is or holds a {kind.strip('_')}, which runs code that a file should not "
                "bring along. Write it as a keras.layers.Layer with "
                "@keras.saving.register_keras_serializable, and save the model again."
            )
        if not _is_custom(entry):
            continue
        name = entry["config"] if kind == "function" else entry.get("registered_name")
        custom = keras.saving.get_registered_object(name)
        if custom is None:
            raise RefusedInputError(
                f"{where} uses {name or kind!r} (module {entry.get('module')}), which is not "
                "registered here. Decorate it with @keras.saving.register_keras_serializable, "
                "import its module, and export from Python: export.export_onnx(path, target)."
            )
        if custom.__module__ == "__main__":
            raise RefusedInputError(
                f"{where} uses {name!r}, which the script itself defines. The conversion runs in "
                "a process of its own and cannot import it from there: move it to a module."
            )
        modules.add(custom.__module__)
    return sorted(modules)


def load_model(path: Path) -> keras.Model:
    """Loads a `.keras` file that `custom_modules` has let through."""
    try:
        return keras.saving.load_model(path, compile=False, safe_mode=True)
    except Exception as error:  # Keras raises whatever the damaged part happens to break.
        raise RefusedInputError(
            f"{path} cannot be loaded; it may be damaged, or saved by another version of Keras "
            f"than {keras.__version__}. Save the model again. Keras says: {_first_line(error)}"
        ) from error


def check_exportable(model: keras.Model) -> None:
    """Says what to change in a model whose graph cannot be read off, or is not float32.

    Raises:
        ConversionError: If the model is neither functional nor sequential, has an input of
            unknown size or an output without batch, names that a file cannot have, or computes in
            another precision.
    """
    if not getattr(model, "inputs", None):
        raise ConversionError(
            f"The model {model.name!r} is a {type(model).__name__} without inputs that could be "
            "read off. Give it some: inputs = keras.Input(...), "
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
                f"Each output must keep the batch axis. Received: an output of shape {tensor.shape}"
            )
    names = input_names(model) + output_names(model)
    for name in names:
        if names.count(name) > 1 or not re.fullmatch(r"[A-Za-z0-9.][A-Za-z0-9_.\\/>-]*", name):
            raise ConversionError(
                "The names of inputs and outputs must differ, and be letters without accents, "
                "digits, '_', '.', '-' and '/': they become names in the file. Rename the layer, "
                f"or the key of the output dictionary. Received: {names}"
            )
    for layer in _layers_within(model):
        if layer.compute_dtype not in ("float32", None):
            raise ConversionError(
                "The export is for models that compute in float32. Build the model under "
                'keras.config.set_dtype_policy("float32") and load the weights into it. '
                f"Received: layer {layer.name!r} with compute_dtype={layer.compute_dtype}"
            )


def _layers_within(model):
    """Yields the layers of a model and of the models in it."""
    for layer in model.layers:
        yield layer
        yield from _layers_within(layer) if isinstance(layer, keras.Model) else ()


def input_names(model: keras.Model) -> list[str]:
    """Returns the names of the model's inputs, flat and in its order."""
    # The tensors' own names are numbered anew in each process; their layers' are in the file.
    return [tensor._keras_history.operation.name for tensor in model.inputs]


def output_names(model: keras.Model) -> list[str]:
    """Returns the names of the model's outputs, flat: the keys of a dictionary, or layer names."""
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


def layer_names(model: keras.Model) -> set[str]:
    """Returns the names of the model's layers, and of those within them that have weights."""
    names = {layer.name for layer in model.layers}
    return names.union(*(variable.path.split("/")[:-1] for variable in model.weights))


def call(model: keras.Model, inputs: list) -> list:
    """Runs the model for inference on its flat inputs, and returns its flat outputs."""
    packed = inputs[0] if isinstance(model, keras.Sequential) else inputs
    if not isinstance(model, keras.Sequential):
        packed = keras.tree.pack_sequence_as(model.input, inputs)
    return keras.tree.flatten(model(packed, training=False))


def _read_config(path):
    if not path.exists():
        raise UsageError(f"There is no file {path}. Pass the path of a saved .keras model.")
    if path.is_dir():
        raise UsageError(f"{path} is a folder. Pass the path of a saved .keras model.")
    try:
        with zipfile.ZipFile(path) as archive:
            damaged = archive.testzip()
            config = json.loads(archive.read("config.json"))
    except (zipfile.BadZipFile, KeyError, ValueError, OSError, EOFError) as error:
        raise RefusedInputError(
            f"{path} is not a whole .keras archive, which model.save('model.keras') writes; it "
            f"may be cut short, or of another kind. ({_first_line(error)})"
        ) from error
    if damaged or not isinstance(config, dict):
        raise RefusedInputError(f"{path} is damaged in {damaged or 'config.json'}. Save it again.")
    config.pop("compile_config", None)  # Losses and metrics do not reach the exported file.
    return config


def _serialized_objects(node, layer=""):
    """Yields every serialized class and function below a node, and the layer that it is part of."""
    if isinstance(node, dict):
        if isinstance(node.get("class_name"), str) and "config" in node:
            if isinstance(node["config"], dict):
                layer = node["config"].get("name", layer)
            yield node, layer
        elif _is_code(node):
            yield {"class_name": "__lambda__", "config": node}, layer
        node = list(node.values())
    if isinstance(node, list):
        for child in node:
            yield from _serialized_objects(child, layer)


def _is_code(node):
    """Recognises a lambda where a function is expected: its code, defaults and closure."""
    value = node.get("value")
    return len(node) == 1 and isinstance(value, list) and len(value) == 3


def _is_custom(entry):
    name, module = entry["class_name"], entry.get("module") or ""
    is_data = name.startswith("__") and name.endswith("__")
    return not is_data and module != "keras" and not module.startswith("keras.")


def _first_line(error):
    return str(error).strip().partition("\n")[0] or type(error).__name__
