"""Passes the custom classes and functions of a model to the process of the conversion."""

import importlib.machinery
import pickle
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import keras

from export.errors import ConversionError, UsageError

_FILE = "custom_objects.pickle"


def store(objects: Mapping[str, Any], folder: Path) -> None:
    """Stores classes and functions by the names under which a model's configuration has them.

    Another process can import most of them. Those of a notebook, or of the script that runs, are
    stored with their code.
    """
    if not objects:
        return
    try:
        import cloudpickle
    except ModuleNotFoundError as error:
        raise UsageError(
            "The export of a model with classes outside of Keras needs the package cloudpickle. "
            "Install it: pip install 'keras-capsules[export]'"
        ) from error
    for module in {custom.__module__ for custom in objects.values()}:
        if module != "__main__" and not _is_importable(module):
            cloudpickle.register_pickle_by_value(sys.modules[module])
    try:
        content = cloudpickle.dumps(dict(objects))
    except Exception as error:  # What a class refers to decides the type of the error.
        raise ConversionError(
            f"The custom classes {', '.join(objects)} cannot be passed to the process of the "
            f"conversion. Move them to a module. ({type(error).__name__}: {error})"
        ) from error
    (folder / _FILE).write_bytes(content)


def register(folder: Path) -> None:
    """Registers what `store` stored, in this process, so that Keras finds it by its name."""
    if not (folder / _FILE).exists():
        return
    for name, custom in pickle.loads((folder / _FILE).read_bytes()).items():
        package, separator, plain = name.rpartition(">")
        if separator:
            keras.saving.register_keras_serializable(package, plain)(custom)
        else:
            keras.saving.get_custom_objects()[name] = custom


def _is_importable(module):
    return importlib.machinery.PathFinder.find_spec(module.partition(".")[0]) is not None
