"""Images to train with under `CapsuleHealth`."""

import pytest

from tests.callbacks.watched import NUMBERS


@pytest.fixture
def x(generator):
    """Images of four classes: each has a bright quarter."""
    images = generator.uniform(0, 0.3, size=(128, 8, 8, 1)).astype("float32")
    for image, number in zip(images, NUMBERS, strict=True):
        row, column = 4 * (number // 2), 4 * (number % 2)
        image[row : row + 4, column : column + 4] += 0.7
    return images


@pytest.fixture
def noise(generator):
    """Images that say nothing about the labels."""
    return generator.uniform(size=(128, 8, 8, 1)).astype("float32")
