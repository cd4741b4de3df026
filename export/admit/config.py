"""Checks the configuration of a saved model before Keras builds anything from it."""

import json
import re
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import keras

from export.errors import RefusedInputError

# These run code that the archive contains or names.
_CODE = ("Lambda", "__lambda__", "TFSMLayer", "TorchModuleWrapper", "JaxLayer", "FlaxLayer")
_DATA = ("__bytes__", "__ellipsis__", "__keras_tensor__", "__numpy__", "__slice__", "__tensor__")

# Keras' modules for parts of models. Its other modules read, write or download files.
_KERAS_MODULES = re.compile(
    r"keras(\.(activations|constraints|dtype_policies|initializers|layers|losses|metrics|ops"
    r"|quantizers|random|regularizers))?|keras\.src\.(layers|models|ops)(\.\w+)+"
)


# Layers of Keras' own architectures, which Keras does not name in its public modules.
_KERAS_LAYERS = (
    "keras.src.applications.convnext.LayerScale",
    "keras.src.applications.inception_resnet_v2.CustomScaleLayer",
)


def check(path: Path, name: str, classes: Mapping[str, type] | None = None) -> dict[str, Any]:
    """Checks a model's configuration, and removes the parts that an export does not need.

    Args:
        path: Path of the model's `config.json`, which is replaced.
        name: Name of the model's file, for messages.
        classes: Classes of the model by name, if it is not from a file. Its classes and functions
            are then trusted, registered or not.

    Returns:
        The model's custom classes and functions, by the names in the configuration.

    Raises:
        RefusedInputError: If the configuration is damaged, or has a layer that runs other code or
            reads a file, or a class or function that is neither part of Keras nor registered.
    """
    objects = {}
    try:
        config = json.loads(path.read_bytes())
        if not isinstance(config, dict):
            raise ValueError(f"config.json holds a {type(config).__name__}")
        for entry, layer in _serialized_objects(config):
            words = [entry.get(key) for key in ("class_name", "module", "registered_name", "name")]
            if not all(str(word).isprintable() for word in (*words, layer)):
                raise RefusedInputError(
                    f"{name} has names that cannot be printed: {ascii([*words, layer])[:300]}"
                )
            # Losses and metrics are not part of the exported file.
            entry.pop("compile_config", None)
            objects |= _check(entry, f"{name}: layer {layer!r}", classes)
        path.write_text(json.dumps(config))
    except (ValueError, RecursionError) as error:
        raise RefusedInputError(
            f"{name} is damaged in config.json. Save it again. ({error})"
        ) from error
    return objects


def _check(entry, where, classes):
    """Returns the custom class or function of an entry by its name, or an empty dictionary."""
    kind, module = entry["class_name"], entry.get("module")
    is_function = kind == "function" and isinstance(entry["config"], str)
    # Keras joins module and name for the look-up, so either may contain a part of the other.
    home, _, name = f"{module}.{entry['config'] if is_function else kind}".rpartition(".")
    if name in _CODE:
        raise RefusedInputError(
            f"{where} is or has a {name.strip('_')}, which runs code that a file should not "
            "contain. Write it as a keras.layers.Layer with "
            "@keras.saving.register_keras_serializable, and save the model again."
        )
    if isinstance(entry["config"], dict) and isinstance(entry["config"].get("vocabulary"), str):
        raise RefusedInputError(
            f"{where} reads its vocabulary from a file. Pass it the list of words instead."
        )
    if kind in _DATA or _KERAS_MODULES.fullmatch(home) or f"{home}.{name}" in _KERAS_LAYERS:
        return {}
    if home.partition(".")[0] == "keras":
        raise RefusedInputError(f"{where} uses {home}.{name}, which is not part of a model.")
    registered = entry["config"] if is_function else entry.get("registered_name")
    known = "module" in entry and isinstance(registered, str)  # Keras 2 wrote no module.
    custom = keras.saving.get_registered_object(registered) if known else None
    if custom is None and known and classes is not None:
        custom = classes.get(kind) or getattr(sys.modules.get(module), name, None)
    if custom is None:
        raise RefusedInputError(
            f"{where} uses {registered or kind!r} (module {module}), which is not "
            "registered here. Decorate it with @keras.saving.register_keras_serializable and pass "
            "its module with --import, or import it and export from Python: "
            "export.export_onnx(path, target)."
        )
    return {registered: custom}


def _serialized_objects(node, layer=""):
    """Yields every serialized class and function below a node, each with its layer."""
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
    """Returns whether a value is a lambda in place of a function: code, defaults and closure."""
    value = node.get("value")
    return len(node) == 1 and isinstance(value, list) and len(value) == 3
