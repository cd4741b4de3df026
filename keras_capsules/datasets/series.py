"""Loads small sets of real series from the archives of time series classification.

The package aeon 1.6 ships them. Its wheel is read as the archive that it is: aeon is not imported
and need not be installed. The wheel is read from the folder that `KERAS_CAPSULES_DATA` names, or
from Keras' cache. If it is in neither, pip downloads it into the cache.
"""

import io
import subprocess
import sys
import zipfile

import numpy as np

from keras_capsules.datasets import files

WHEEL = "aeon-1.6.0-py3-none-any.whl"
_SHA256 = "d05227086706f80111ac5fee8de4d5d3115bb3bcfd1c786c8629393055816409"

Series = tuple[tuple[np.ndarray, np.ndarray], tuple[np.ndarray, np.ndarray]]


def basic_motions() -> Series:
    """Loads BasicMotions: a smart watch's accelerometer and gyroscope in four activities.

    The classes are standing, running, walking and badminton, in this order. A series has 100 steps,
    ten a second. There are 40 series to train on and 40 to test on.

    Returns:
        `(train_series, train_labels), (test_series, test_labels)`: float32 arrays
        `(samples, 100, 6)`, and integer labels `(samples,)`.

    Raises:
        ValueError: If the wheel cannot be found, or is damaged.

    Reference:
        Bagnall et al., 2018, "The UEA multivariate time series classification archive",
        arXiv 1811.00075. The archive names no licence of this set.
    """
    return _load("BasicMotions")


def japanese_vowels() -> Series:
    """Loads JapaneseVowels: nine speakers say two vowels, in 7 to 29 steps.

    The classes are the speakers. A step has 12 coefficients of a linear prediction analysis. There
    are 270 series to train on and 370 to test on. Steps after the end of a series are zero, which
    `keras.layers.Masking` masks; no other step is.

    Returns:
        `(train_series, train_labels), (test_series, test_labels)`: float32 arrays
        `(samples, 29, 12)`, and integer labels `(samples,)`.

    Raises:
        ValueError: If the wheel cannot be found, or is damaged.

    Reference:
        Kudo, Toyama, Shimbo, 1999, "Multidimensional curve classification using passing-through
        regions". UCI Machine Learning Repository, doi 10.24432/C5NS47. Licence CC BY 4.0.
    """
    return _load("JapaneseVowels")


def gun_point() -> Series:
    """Loads GunPoint: the height of a hand that draws a gun (class 0) or points (class 1).

    There are 50 series to train on and 150 to test on, of 150 steps.

    Returns:
        `(train_series, train_labels), (test_series, test_labels)`: float32 arrays
        `(samples, 150, 1)`, and integer labels `(samples,)`.

    Raises:
        ValueError: If the wheel cannot be found, or is damaged.

    Reference:
        Dau et al., 2018, "The UCR time series archive", arXiv 1810.07758. The archive names no
        licence of this set.
    """
    return _load("GunPoint")


def _load(name):
    path = files.find(WHEEL)
    if path is None:
        files.download(WHEEL, _download)
        path = files.cache_folder() / WHEEL
    content = path.read_bytes()
    files.check_digest(path, content, _SHA256)
    with zipfile.ZipFile(io.BytesIO(content)) as wheel:
        parts = [
            parsed(wheel.read(f"aeon/datasets/data/{name}/{name}_{part}.ts").decode())
            for part in ("TRAIN", "TEST")
        ]
    steps = max(series.shape[1] for series, _ in parts)
    train, test = (
        (np.pad(series, ((0, 0), (0, steps - series.shape[1]), (0, 0))), labels)
        for series, labels in parts
    )
    return train, test


def _download():
    folder = files.cache_folder()
    folder.mkdir(parents=True, exist_ok=True)
    package = "==".join(WHEEL.split("-")[:2])
    options = ["--no-deps", "--only-binary=:all:", "--quiet", "--dest", str(folder)]
    command = [sys.executable, "-m", "pip", "download", *options, package]
    done = subprocess.run(command, capture_output=True, text=True)
    if done.returncode:
        raise OSError(done.stderr.strip())


def parsed(text: str) -> tuple[np.ndarray, np.ndarray]:
    """Reads the text of a `.ts` file.

    Returns:
        float32 series `(samples, steps, channels)`, with zeros after the end of the shorter ones,
        and the number of each one's class, in the order in which the file names the classes.
    """
    header, _, body = text.partition("@data")
    line = next(line for line in header.splitlines() if line.lower().startswith("@classlabel"))
    classes = line.split()[2:]
    found, labels = [], []
    for line in body.split():
        *channels, label = line.split(":")
        found.append(np.array([channel.split(",") for channel in channels], "float32").T)
        labels.append(classes.index(label))
    series = np.zeros((len(found), max(map(len, found)), found[0].shape[1]), "float32")
    for row, values in zip(series, found, strict=True):
        row[: len(values)] = values
    return series, np.array(labels)
