"""Draws pictures of overlapping shapes and digits, each with a map of what is where."""

import numpy as np

from keras_capsules.datasets.mnist import mnist

CLASSES = ("background", "ellipse", "rectangle", "triangle", "digit")
_OBJECTS = (2, 5)  # The second number is not reached.
_NOISE = 0.1

Masked = tuple[tuple[np.ndarray, np.ndarray], tuple[np.ndarray, np.ndarray]]


def shapes(
    size: int = 64, train: int = 2000, test: int = 500, rotation: float = 0.0, seed: int = 0
) -> Masked:
    """Draws ellipses, rectangles, triangles and digits over each other, the same each time.

    A picture has two to four objects of random classes, places, sizes and brightness. A later
    object covers what is below it. Then noise is added. The digits of the two halves are those of
    the two halves of MNIST. The objects of the training pictures are upright.

    Args:
        size: Integer. Height and width of the pictures. Defaults to `64`.
        train: Integer. Number of training pictures. Defaults to `2000`.
        test: Integer. Number of test pictures. Defaults to `500`.
        rotation: Float. Each object of the test pictures is turned by up to this many degrees, to
            either side. The pictures are the same otherwise. Defaults to `0.0`.
        seed: Integer. Defaults to `0`.

    Returns:
        `(train_images, train_masks), (test_images, test_masks)`: uint8 arrays
        `(samples, size, size, 1)` from 0 to 255, and uint8 class numbers `(samples, size, size)`:
        background, ellipse, rectangle, triangle, digit.

    Raises:
        ValueError: If `size` is less than 16, or there is no MNIST.

    Reference:
        This library; digits of MNIST, LeCun et al., 1998, licence CC BY-SA 3.0.
    """
    if size < 16:
        raise ValueError(f"`size` must be 16 or more, or shapes are too small. Received: {size=}")
    generators = [np.random.default_rng((seed, half)) for half in range(2)]
    (train_digits, _), (test_digits, _) = mnist()
    return (
        _pictures(size, train, train_digits, 0.0, generators[0]),
        _pictures(size, test, test_digits, rotation, generators[1]),
    )


def _pictures(size, count, digits, rotation, generator):
    images = np.full((count, size, size), 0.15)
    masks = np.zeros((count, size, size), "uint8")
    rows, columns = np.mgrid[:size, :size]
    for image, mask in zip(images, masks, strict=True):
        for _ in range(generator.integers(*_OBJECTS)):
            number = generator.integers(1, len(CLASSES))
            radius = size * generator.uniform(0.14, 0.28)
            top, left = generator.uniform(0.2 * size, 0.8 * size, size=2)
            brightness = generator.uniform(0.35, 1.0)
            digit = digits[generator.integers(len(digits)), ..., 0]
            angle = np.deg2rad(rotation * generator.uniform(-1, 1))
            y, x = (rows - top) / radius, (columns - left) / radius
            y, x = y * np.cos(angle) - x * np.sin(angle), y * np.sin(angle) + x * np.cos(angle)
            inside = _inside(CLASSES[number], y, x, digit)
            image[inside], mask[inside] = brightness, number
    noisy = images + generator.normal(scale=_NOISE, size=images.shape)
    return np.round(255 * np.clip(noisy, 0, 1)).astype("uint8")[..., None], masks


def _inside(name, y, x, digit):
    """Returns which points, of coordinates from -1 to 1, an upright object covers."""
    if name == "ellipse":
        return y**2 + (2 * x) ** 2 < 1
    if name == "rectangle":
        return (abs(y) < 0.5) & (abs(x) < 0.9)
    if name == "triangle":
        return (y < 0.8) & (abs(x) < (y + 0.9) / 2)
    # The 20 pixels in the middle of a digit's picture are drawn a little larger than a shape.
    row, column = (np.round(13.5 + 9 * axis).astype(int) for axis in (y, x))
    within = (row >= 0) & (row < 28) & (column >= 0) & (column < 28)
    return within & (digit[np.where(within, row, 0), np.where(within, column, 0)] > 127)
