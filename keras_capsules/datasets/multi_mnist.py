"""Makes images with two overlapping digits of different classes."""

import numpy as np

from keras_capsules.datasets.mnist import mnist

_PADDING = 4
_SHIFT = 4


def multi_mnist(
    pairs: int = 1, seed: int = 0
) -> tuple[tuple[np.ndarray, np.ndarray], tuple[np.ndarray, np.ndarray]]:
    """Makes the test set of MultiMNIST, and one training pair for each digit, always the same.

    For training, `overlap` makes new pairs of the digits of `mnist` in each epoch.

    Args:
        pairs: Integer. Pairs for each of the 10,000 test digits. The paper uses 1,000.
        seed: Integer.

    Returns:
        `(train_images, train_labels), (test_images, test_labels)`: uint8 arrays
        `(samples, 36, 36, 1)` from 0 to 255, and integer labels `(samples, 2)`. Both digits of a
        pair come from the same half of MNIST.

    Reference:
        Sabour, Frosst, Hinton, 2017, arXiv 1710.09829, section 6.
    """
    generator = np.random.default_rng(seed)
    train, (test_images, test_labels) = mnist()
    test_images, test_labels = np.tile(test_images, (pairs, 1, 1, 1)), np.tile(test_labels, pairs)
    train_images, _, train_labels = overlap(*train, generator)
    test_images, _, test_labels = overlap(test_images, test_labels, generator)
    return (train_images, train_labels), (test_images, test_labels)


def overlap(
    images: np.ndarray, labels: np.ndarray, generator: np.random.Generator
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Puts a second digit of another class, drawn from the same arrays, over each digit.

    Each digit is padded to 36 x 36 and shifted separately by up to 4 pixels. The pixels of both are
    added and cut off at 255.

    Args:
        images: uint8 array `(samples, 28, 28, 1)`.
        labels: Integer array `(samples,)`, with at least two classes.
        generator: Source of the randomness.

    Returns:
        Tuple of uint8 arrays `(samples, 36, 36, 1)` with both digits, the two digits alone
        `(samples, 2, 36, 36, 1)`, and the integer labels `(samples, 2)`.

    Raises:
        ValueError: If the images are not uint8, or all labels are the same.

    Reference:
        Sabour, Frosst, Hinton, 2017, arXiv 1710.09829, section 6.
    """
    if images.dtype != np.uint8 or len(np.unique(labels)) < 2:
        raise ValueError(
            "Pass uint8 images from 0 to 255, with at least two classes. Received: images in "
            f"{images.dtype} of the classes {np.unique(labels).tolist()}"
        )
    partner = generator.integers(len(images), size=len(images))
    while (same := labels[partner] == labels).any():
        partner[same] = generator.integers(len(images), size=same.sum())
    both = np.stack([images, images[partner]], axis=1)
    height, width = images.shape[1:3]
    shape = (height + 2 * _PADDING, width + 2 * _PADDING, images.shape[-1])
    alone = np.zeros((len(images), 2, *shape), "uint8")
    positions = _PADDING + generator.integers(-_SHIFT, _SHIFT + 1, size=(len(images), 2, 2))
    for canvases, pair, corners in zip(alone, both, positions, strict=True):
        for canvas, image, (top, left) in zip(canvases, pair, corners, strict=True):
            canvas[top : top + height, left : left + width] = image
    merged = np.minimum(alone.sum(axis=1, dtype="uint16"), 255).astype("uint8")
    return merged, alone, np.stack([labels, labels[partner]], axis=1)
