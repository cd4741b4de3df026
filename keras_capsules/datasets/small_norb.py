"""Loads small NORB, toys seen by two cameras from many viewpoints."""

import gzip
import math
from typing import NamedTuple

import numpy as np

from keras_capsules.datasets import files

_PARTS = {"training": "5x46789", "testing": "5x01235"}
_TYPES = {0x1E3D4C55: "uint8", 0x1E3D4C54: "<i4"}


class Views(NamedTuple):
    """One half of small NORB.

    Attributes:
        images: uint8 array `(24300, 96, 96, 2)`, the left and the right camera.
        labels: Integer array `(24300,)`: animal, human, airplane, truck, car.
        views: Integer array `(24300, 4)`: instance of the class; elevation from 0 to 8, for 30 to
            70 degrees; azimuth from 0 to 34, even, in tens of degrees; lighting from 0 to 5.
    """

    images: np.ndarray
    labels: np.ndarray
    views: np.ndarray


def small_norb() -> tuple[Views, Views]:
    """Loads small NORB: 24,300 stereo pairs to train on and 24,300, of other toys, to test on.

    The six official files, `smallnorb-5x46789x9x18x6x2x96x96-training-dat.mat.gz` and so on, are
    read from the folder that the environment variable `KERAS_CAPSULES_DATA` names, or from Keras'
    cache. They are not downloaded, because their licence requires a download from the author's
    page.

    Returns:
        A `Views` for training and one for testing.

    Raises:
        ValueError: If a file is missing or damaged.

    Reference:
        LeCun, Huang, Bottou, 2004, Learning methods for generic object recognition.
    """
    return _half("training"), _half("testing")


def _half(part):
    prefix = f"smallnorb-{_PARTS[part]}x9x18x6x2x96x96-{part}"
    images, labels, views = (_read(f"{prefix}-{kind}.mat.gz") for kind in ("dat", "cat", "info"))
    if not len(images) == len(labels) == len(views) or images.ndim != 4:
        raise ValueError(
            f"The files of {prefix} contradict each other: {images.shape}, {labels.shape} and "
            f"{views.shape}. Download them again."
        )
    return Views(np.moveaxis(images, 1, -1), labels, views)


def _read(name):
    path = files.find(name)
    if path is None:
        raise ValueError(
            f"There is no {name}. Download small NORB from its author's page and put its six files "
            f"into the folder that the environment variable {files.FOLDER_VARIABLE} names."
        )
    try:
        with gzip.open(path) as file:
            content = file.read()
        magic, dimensions = np.frombuffer(content, "<i4", 2)
        shape = np.frombuffer(content, "<i4", dimensions, offset=8)
        start = 8 + 4 * max(3, int(dimensions))  # At least three sizes are stored.
        array = np.frombuffer(content, _TYPES[int(magic)], offset=start)
        if array.size != math.prod(shape.tolist()):
            raise ValueError(f"{array.size} values for the shape {shape.tolist()}")
        return array.reshape(shape)
    except (OSError, EOFError, KeyError, ValueError) as error:
        raise ValueError(
            f"{path} is damaged or of another kind ({error}). Download it again."
        ) from error
