"""Reads untrusted zip archives: `.keras` files of models, and `.npz` files of inputs.

The declared sizes are checked against limits before anything is read. The content is read in
pieces, and its size is compared with the declared one.
"""

import contextlib
import math
import os
import shutil
import stat
import zipfile
from collections.abc import Iterator
from pathlib import Path

import numpy as np

from export.errors import ExportError, RefusedInputError, UsageError

# An ONNX file has at most 2 GiB. The optimizer's moments triple this in the model's file.
_MAX_BYTES = 8 << 30
_MAX_RATIO = 200
_PIECE = 1 << 20

CONFIG = "config.json"
WEIGHTS = "model.weights.h5"
_MODEL_ENTRIES = {"metadata.json": 1 << 20, CONFIG: 16 << 20, WEIGHTS: _MAX_BYTES}

_METHODS = (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED)
_ENCRYPTED = 1


def check_model(path: Path) -> None:
    """Checks that a file looks like one of `model.save`, without reading what it holds.

    Raises:
        UsageError: If there is no such file.
        RefusedInputError: If the file is not such an archive, or has other entries.
    """
    with _model_archive(path):
        pass


def unpack_model(path: Path, folder: Path) -> None:
    """Copies the three entries of a `.keras` file into a folder, from which Keras can load them.

    Raises:
        UsageError: If there is no such file.
        RefusedInputError: If the file is not such an archive, is damaged, or has other entries.
    """
    with _model_archive(path) as archive:
        for entry in archive.infolist():
            with archive.open(entry) as packed, open(folder / entry.filename, "wb") as file:
                shutil.copyfileobj(packed, file, _PIECE)
                if file.tell() != entry.file_size:
                    raise RefusedInputError(
                        f"{path}: {entry.filename} declares {entry.file_size} bytes and has "
                        f"{file.tell()}. Save the model again."
                    )


@contextlib.contextmanager
def _model_archive(path):
    """Opens a `.keras` file whose entries have the right names and sizes that fit."""
    if not os.path.isfile(path):
        raise UsageError(
            f"There is no file {path}. Pass the path of a .keras file, not of a folder."
        )
    with _open(path, "model.save('model.keras')") as archive:
        entries = archive.infolist()
        names = [entry.filename for entry in entries]
        if sorted(names) != sorted(_MODEL_ENTRIES):
            raise RefusedInputError(
                f"{path} must contain {', '.join(_MODEL_ENTRIES)}, once each, and nothing else. It "
                "may be another kind of file, or have a layer with a vocabulary file, for which "
                "ONNX has no operation. Remove that layer and save the model again. "
                f"Received: {_short(names)}"
            )
        for entry in entries:
            if entry.file_size > _MODEL_ENTRIES[entry.filename]:
                raise RefusedInputError(
                    f"{path}: {entry.filename} may have at most {_MODEL_ENTRIES[entry.filename]} "
                    f"bytes. Received: {entry.file_size}"
                )
        yield archive


def read_arrays(path: Path) -> dict[str, np.ndarray]:
    """Reads an `.npz` file of numbers.

    Raises:
        UsageError: If there is no such file, or it is another kind of file.
        RefusedInputError: If the file is damaged, has objects, or has less data than it declares.
    """
    if not os.path.isfile(path) or not zipfile.is_zipfile(path):
        raise UsageError(
            f"The data cannot be read from {path}: numpy.savez(path, image=array) writes such a "
            "file."
        )
    with _open(path, "numpy.savez(path, image=array)") as archive:
        return {
            entry.filename.removesuffix(".npy"): _read_array(path, archive, entry)
            for entry in archive.infolist()
        }


def _read_array(path, archive, entry):
    with archive.open(entry) as file:
        version = np.lib.format.read_magic(file)
        headers = np.lib.format
        read_header = {(1, 0): headers.read_array_header_1_0}.get(
            version, headers.read_array_header_2_0
        )
        shape, _, dtype = read_header(file)
        declared = file.tell() + math.prod(shape) * dtype.itemsize
    if dtype.hasobject or declared != entry.file_size:
        raise RefusedInputError(
            f"{path}: {entry.filename} must be an array of numbers. Received: dtype {dtype}, shape "
            f"{shape}, which is {declared} bytes, in {entry.file_size} bytes"
        )
    with archive.open(entry) as file:
        return np.lib.format.read_array(file, allow_pickle=False)


@contextlib.contextmanager
def _open(path, writer) -> Iterator[zipfile.ZipFile]:
    """Opens an archive, and refuses entries that are links, duplicates, encrypted or bombs."""
    try:
        with zipfile.ZipFile(path) as archive:
            entries = archive.infolist()
            names = [entry.filename for entry in entries]
            if len(set(names)) != len(names):
                raise RefusedInputError(f"{path} names an entry twice. Received: {_short(names)}")
            if sum(entry.file_size for entry in entries) > _MAX_BYTES:
                raise RefusedInputError(f"{path} unpacks to more than {_MAX_BYTES >> 30} GiB.")
            for entry in entries:
                _check_entry(path, entry, writer)
            yield archive
    except ExportError:
        raise
    except Exception as error:  # The type of zipfile's error depends on the damage.
        reason = str(error).strip().partition("\n")[0] or type(error).__name__
        raise RefusedInputError(
            f"{path} is not a complete archive of {writer}. It may be cut short, or of "
            f"another kind. ({reason})"
        ) from error


def _check_entry(path, entry, writer):
    """Path traversal is harmless here: only Keras' three known names are used as paths."""
    faults = {
        "a link": stat.S_ISLNK(entry.external_attr >> 16),
        "encrypted": entry.flag_bits & _ENCRYPTED,
        f"compressed by method {entry.compress_type}": entry.compress_type not in _METHODS,
        f"compressed to less than 1/{_MAX_RATIO} of its size": (
            entry.file_size > _MAX_RATIO * max(entry.compress_size, 1)
        ),
    }
    fault = next((text for text, is_so in faults.items() if is_so), None)
    if fault is not None:
        raise RefusedInputError(
            f"{path}: {_short([entry.filename])} is {fault}. Write it again with {writer}."
        )


def _short(names):
    """Returns the first few names, shortened and on one line even if they have line breaks."""
    more = f" and {len(names) - 4} more" if len(names) > 4 else ""
    return ", ".join(ascii(name[:60]) for name in names[:4]) + more
