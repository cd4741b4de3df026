"""Finds the files of datasets, and checks that they are complete."""

import hashlib
import os
from pathlib import Path

import numpy as np

FOLDER_VARIABLE = "KERAS_CAPSULES_DATA"


def find(name: str) -> Path | None:
    """Returns the path of a dataset's file, or `None` if there is no such file.

    The folder that the environment variable `KERAS_CAPSULES_DATA` names is searched first, then
    Keras' cache, `~/.keras/datasets`.
    """
    folders = [cache_folder()]
    if os.environ.get(FOLDER_VARIABLE):
        folders.insert(0, Path(os.environ[FOLDER_VARIABLE]))
    return next((folder / name for folder in folders if (folder / name).is_file()), None)


def read(path: Path, sha256: str, names: tuple[str, ...]) -> list[np.ndarray]:
    """Reads arrays from an `.npz` file, and compares their digest with the expected one.

    Args:
        path: Path of the file.
        sha256: Digest of the bytes of the unpacked arrays, one after the other.
        names: Names of the arrays.

    Raises:
        ValueError: If the file is damaged, or contains other data.
    """
    try:
        with np.load(path, allow_pickle=False) as file:
            arrays = [file[name] for name in names]
    except Exception as error:  # The type of numpy's or zipfile's error depends on the damage.
        raise ValueError(
            f"{path} is damaged, or not an .npz file with {', '.join(names)}. Remove it, and it "
            f"will be downloaded again, or replace it by a complete file. ({error})"
        ) from error
    digest = hashlib.sha256()
    for array in arrays:
        digest.update(np.ascontiguousarray(array).data)
    if digest.hexdigest() != sha256:
        raise ValueError(
            f"{path} does not hold the dataset: the digest of {', '.join(names)} is "
            f"{digest.hexdigest()} and should be {sha256}. Remove it, or put the right file there."
        )
    return arrays


def check_digest(path: Path, content: bytes, sha256: str) -> None:
    """Compares the digest of a file's content with the expected one.

    Raises:
        ValueError: If the file is damaged, or another one.
    """
    found = hashlib.sha256(content).hexdigest()
    if found != sha256:
        raise ValueError(
            f"{path} is damaged, or another file: its digest is {found} and should be {sha256}. "
            "Remove it, and it will be downloaded again, or put the right file there."
        )


def download(name: str, load):
    """Returns `load()`, which downloads a file, or explains where to put the file.

    Raises:
        ValueError: If the download fails.
    """
    try:
        return load()
    except Exception as error:  # Errors of urllib, of Keras and of pip.
        raise ValueError(
            f"There is no {name}, and it cannot be downloaded ({error}). Put it into the folder "
            f"that the environment variable {FOLDER_VARIABLE} names, or into {cache_folder()}."
        ) from error


def cache_folder() -> Path:
    """Returns the folder into which Keras downloads datasets."""
    home = os.environ.get("KERAS_HOME") or Path.home() / ".keras"
    return Path(home) / "datasets"
