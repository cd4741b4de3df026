"""Makes affNIST from MNIST: digits in affine transformations that a network never saw."""

import numpy as np

from keras_capsules.datasets.augmentation import random_affine
from keras_capsules.datasets.mnist import mnist

_PADDING = 6
_SIZE = 40


def affnist(
    variants: int = 1, seed: int = 0
) -> tuple[tuple[np.ndarray, np.ndarray], tuple[np.ndarray, np.ndarray]]:
    """Makes the data of the affNIST protocol from MNIST, the same each time.

    The training digits are padded to 40 x 40 and only shifted, by up to 6 pixels. The test digits
    are also turned by up to 20 degrees, sheared by up to 0.2 and scaled by 0.8 to 1.2. The original
    test set is no longer available. This one uses the same ranges.

    Args:
        variants: Integer. Transformed copies of each of the 10,000 test digits. The original test
            set has 32 of each. Defaults to `1`.
        seed: Integer.

    Returns:
        `(train_images, train_labels), (test_images, test_labels)`: uint8 arrays
        `(samples, 40, 40, 1)` from 0 to 255, and integer labels `(samples,)`.

    Reference:
        Tieleman, 2013, the affNIST dataset; Sabour, Frosst, Hinton, 2017, arXiv 1710.09829,
        section 5.2.
    """
    (train_images, train_labels), (test_images, test_labels) = mnist()
    generator = np.random.default_rng(seed)
    train_images = shifted(train_images, generator)
    test_images = pad(np.tile(test_images, (variants, 1, 1, 1)))
    test_images = random_affine(
        test_images.astype("float32"),
        generator,
        rotation=20,
        scale=(0.8, 1.2),
        shear=0.2,
        shift=_PADDING,
    )
    test_images = np.clip(np.round(test_images), 0, 255).astype("uint8")
    return (train_images, train_labels), (test_images, np.tile(test_labels, variants))


def pad(images: np.ndarray) -> np.ndarray:
    """Puts 28 x 28 images in the middle of 40 x 40 ones."""
    return np.pad(images, ((0, 0), (_PADDING, _PADDING), (_PADDING, _PADDING), (0, 0)))


def shifted(images: np.ndarray, generator: np.random.Generator) -> np.ndarray:
    """Puts 28 x 28 images at random positions of 40 x 40 ones."""
    height, width = images.shape[1:3]
    positions = generator.integers(2 * _PADDING + 1, size=(len(images), 2))
    result = np.zeros((len(images), _SIZE, _SIZE, images.shape[-1]), images.dtype)
    for canvas, image, (top, left) in zip(result, images, positions, strict=True):
        canvas[top : top + height, left : left + width] = image
    return result
