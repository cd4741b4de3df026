"""Loads photographs of ten kinds of things, 32 x 32."""

import io

import keras
import numpy as np

from keras_capsules.datasets import files

CLASSES = (
    *("airplane", "automobile", "bird", "cat", "deer"),
    *("dog", "frog", "horse", "ship", "truck"),
)
_SHA256 = "7c1126809595013a82cd48451f069ea2d023c1e1a4fc845af5a3b249ebefc80d"
_NAMES = ("train_jpeg", "train_labels", "test_jpeg", "test_labels")


def cifar10() -> tuple[tuple[np.ndarray, np.ndarray], tuple[np.ndarray, np.ndarray]]:
    """Loads CIFAR-10: 50,000 photographs to train on and 10,000 to test on.

    If there is a `cifar10_jpeg.npz`, a smaller copy with JPEG files, in the folder that the
    environment variable `KERAS_CAPSULES_DATA` names or in Keras' cache, this file is read, which
    needs Pillow. Otherwise Keras loads the original, and downloads it if necessary.

    Returns:
        `(train_images, train_labels), (test_images, test_labels)`: uint8 arrays
        `(samples, 32, 32, 3)` from 0 to 255, and integer labels `(samples,)`.

    Raises:
        ValueError: If there is no file, or it is damaged.

    Reference:
        Krizhevsky, 2009, Learning multiple layers of features from tiny images.
    """
    path = files.find("cifar10_jpeg.npz")
    if path is None:
        train, test = files.download("cifar-10-batches-py", keras.datasets.cifar10.load_data)
        return (train[0], train[1].ravel()), (test[0], test[1].ravel())
    train, train_labels, test, test_labels = files.read(path, _SHA256, _NAMES)
    with np.load(path, allow_pickle=False) as file:
        train_images = _decode(train, file["train_offsets"])
        test_images = _decode(test, file["test_offsets"])
    return (train_images, train_labels), (test_images, test_labels)


def _decode(jpeg, offsets):
    from PIL import Image

    data = jpeg.tobytes()
    pairs = zip(offsets[:-1], offsets[1:], strict=True)
    return np.stack([np.asarray(Image.open(io.BytesIO(data[start:end]))) for start, end in pairs])
