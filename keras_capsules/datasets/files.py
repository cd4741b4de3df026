"""Finds the files of datasets, and checks that they are whole."""

import hashlib
import os
from pathlib import Path

import numpy as np

FOLDER_VARIABLE = "KERAS_CAPSULES_DATA"


def find(name: str) -> Path | None:
    """Returns the path of a dataset's file, or `None` where there is none.

    Looks in the folder that the environment variable `KERAS_CAPSULES_DATA` names, then in Keras'
    own cache, `~/.keras/datasets`.
    """
    folders = [cache_folder()]
    if os.environ.get(FOLDER_VARIABLE):
        folders.insert(0, Path(os.environ[FOLDER_VARIABLE]))
    return next((folder / name for folder in folders if (folder / name).is_file()), None)


def read(path: Path, sha256: str, names: tuple[str, ...]) -> list[np.ndarray]:
    """Reads arrays of an `.npz` file, and checks that they are those expected.

    Args:
        path: Path of the file.
        sha256: Digest of the bytes of the arrays, one after the other, however they were packed.
        names: Names of the arrays.

    Raises:
        ValueError: If the file is damaged, or holds something else.
    """
    try:
        with np.load(path, allow_pickle=False) as file:
            arrays = [file[name] for name in names]
    except Exception as error:  # numpy and zipfile raise whatever the damaged part breaks.
        raise ValueError(
            f"{path} is damaged, or not an .npz file with {', '.join(names)}. Remove it, and it "
            f"will be downloaded again, or put a whole one there. ({error})"
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


def download(name: str, load):
    """Returns `load()`, which downloads by Keras into its cache, or says what to put where.

    Raises:
        ValueError: If the download fails.
    """
    try:
        return load()
    except Exception as error:  # urllib's errors, and Keras' own.
        raise ValueError(
            f"There is no {name}, and it cannot be downloaded ({error}). Put it into the folder "
            f"that the environment variable {FOLDER_VARIABLE} names, or into {cache_folder()}."
        ) from error


def cache_folder() -> Path:
    """Returns the folder into which Keras downloads datasets."""
    home = os.environ.get("KERAS_HOME") or Path.home() / ".keras"
    return Path(home) / "datasets"
