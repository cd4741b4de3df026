"""Loads handwritten digits, 28 x 28."""

import keras
import numpy as np

from keras_capsules.datasets import files

_SHA256 = "06b0d1f124c4e5fa796686ade41a9b778edacc8622f2195a352ef479ad44fc16"
_NAMES = ("x_train", "y_train", "x_test", "y_test")


def mnist() -> tuple[tuple[np.ndarray, np.ndarray], tuple[np.ndarray, np.ndarray]]:
    """Loads MNIST: 60,000 digits to train on and 10,000 to test on.

    The file `mnist.npz` is read from the folder that the environment variable `KERAS_CAPSULES_DATA`
    names, or from Keras' cache. If it is in neither, Keras downloads it.

    Returns:
        `(train_images, train_labels), (test_images, test_labels)`: uint8 arrays
        `(samples, 28, 28, 1)` from 0 to 255, and integer labels `(samples,)`.

    Raises:
        ValueError: If there is no file, or it is damaged.

    Reference:
        LeCun, Bottou, Bengio, Haffner, 1998. Licence CC BY-SA 3.0.
    """
    path = files.find("mnist.npz")
    if path is None:
        files.download("mnist.npz", keras.datasets.mnist.load_data)
        path = files.cache_folder() / "mnist.npz"
    x_train, y_train, x_test, y_test = files.read(path, _SHA256, _NAMES)
    return (x_train[..., None], y_train), (x_test[..., None], y_test)
