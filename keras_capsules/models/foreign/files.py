"""Reads the arrays of `.npz`, `.safetensors` and Keras 2's `.h5` files, without their codes."""

import json
import math
from collections.abc import Mapping
from pathlib import Path
from typing import Any
from zipfile import BadZipFile

import numpy as np

# bfloat16 is the upper half of a float32.
_SAFETENSORS = {"F64": "<f8", "F32": "<f4", "F16": "<f2", "BF16": "<u2", "I64": "<i8"}


def arrays_of(weights: Any) -> Mapping[str, Any]:
    """Returns the arrays of a file by name, or a mapping as it is.

    Raises:
        ValueError: If it is neither, or the file is damaged or of another kind.
    """
    if isinstance(weights, Mapping):
        return weights
    readers = {".npz": _npz, ".safetensors": _safetensors, ".h5": _keras_2, ".hdf5": _keras_2}
    path = Path(weights)
    if path.suffix in readers and not path.is_file():
        raise ValueError(f"There is no file of weights {str(path)!r}.")
    if path.suffix not in readers:
        raise ValueError(
            "`weights` must be a mapping of names to arrays, or the path of a .npz, .safetensors "
            "or .h5 file. Of a PyTorch file take {name: tensor.numpy() for name, tensor in "
            f'torch.load(path, map_location="cpu", weights_only=True).items()}}. Received: '
            f"weights={weights!r}"
        )
    try:
        return readers[path.suffix](path)
    except (AttributeError, KeyError, OSError, TypeError, ValueError, BadZipFile) as error:
        raise ValueError(
            f"{path} is damaged, or not a {path.suffix} file of weights. "
            f"{type(error).__name__}: {error}"
        ) from error


def _npz(path):
    with np.load(path) as file:
        return dict(file)


def _safetensors(path):
    data = path.read_bytes()
    start = 8 + int.from_bytes(data[:8], "little")
    header = json.loads(data[8:start])
    entries = {name: entry for name, entry in header.items() if name != "__metadata__"}
    return {name: _tensor(data, start, **entry) for name, entry in entries.items()}


def _tensor(data, start, dtype, shape, data_offsets):
    if dtype not in _SAFETENSORS:
        raise ValueError(f"dtypes must be among {', '.join(_SAFETENSORS)}. Received: {dtype}")
    kind = np.dtype(_SAFETENSORS[dtype])
    if data_offsets[1] - data_offsets[0] != math.prod(shape) * kind.itemsize:
        raise ValueError(f"{data_offsets} are not the bytes of shape {shape} in {dtype}")
    array = np.frombuffer(data, kind, math.prod(shape), start + data_offsets[0]).reshape(shape)
    if dtype == "BF16":
        return (array.astype("uint32") << 16).view("float32")
    return array


def _keras_2(path):
    """Returns the weights in the order of their layers: the numbers in names depend on the run."""
    import h5py

    with h5py.File(path) as file:
        layers = file.get("model_weights", file)
        if "layer_names" not in layers.attrs:
            raise ValueError(
                f"{path} must have been written by `save_weights` or `save` of Keras 2, whose "
                "attribute `layer_names` is missing. Of a model in Keras 3 pass "
                "{weight.path: weight.numpy() for weight in model.weights}."
            )
        return {
            _text(weight): layers[_text(layer)][_text(weight)][()]
            for layer in layers.attrs["layer_names"]
            for weight in layers[_text(layer)].attrs["weight_names"]
        }


def _text(name):
    return name.decode() if isinstance(name, bytes) else name
