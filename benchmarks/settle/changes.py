"""What is done to test images: noise, blur, contrast, occlusion, turns, shuffled quadrants.

Each function takes images `(batch, height, width, channels)` in [0, 1] and a generator.
"""

import itertools

import numpy as np
from scipy import ndimage

from benchmarks import non_digits

# Each quadrant of the image ends in another place than its own.
_MISPLACED = [
    order
    for order in itertools.permutations(range(4))
    if all(place != quadrant for place, quadrant in enumerate(order))
]


def noise(images, generator):
    changed = images + generator.normal(0, 0.3, images.shape)
    return np.clip(changed, 0, 1).astype("float32")


def blur(images, generator):
    return ndimage.gaussian_filter(images, (0, 1.5, 1.5, 0), mode="constant")


def contrast(images, generator):
    mean = images.mean(axis=(1, 2, 3), keepdims=True)
    return mean + 0.3 * (images - mean)


def occlusion(images, generator):
    """Puts a gray square, a quarter as high as the image, anywhere."""
    changed, (height, width) = images.copy(), images.shape[1:3]
    side = height // 4
    tops = generator.integers(height - side + 1, size=len(images))
    lefts = generator.integers(width - side + 1, size=len(images))
    for image, top, left in zip(changed, tops, lefts, strict=True):
        image[top : top + side, left : left + side] = 0.5
    return changed


def turned(images, degrees):
    """Turns every other image by so many degrees to the left, and the rest to the right."""
    changed = images.copy()
    for part, angle in ((changed[::2], degrees), (changed[1::2], -degrees)):
        part[:] = ndimage.rotate(part, angle, axes=(1, 2), reshape=False, order=1)
    return changed


def shuffled(images, generator):
    """Puts each quadrant of an image into a wrong place."""
    rows, columns = images.shape[1] // 2, images.shape[2] // 2
    corners = [(0, 0), (0, columns), (rows, 0), (rows, columns)]
    changed = images.copy()
    for image, source in zip(changed, images, strict=True):
        order = _MISPLACED[generator.integers(len(_MISPLACED))]
        for (top, left), quadrant in zip(corners, order, strict=True):
            y, x = corners[quadrant]
            part = source[y : y + rows, x : x + columns]
            image[top : top + rows, left : left + columns] = part
    return changed


def uniform(images, generator):
    return generator.random(images.shape, dtype="float32")


def glyphs(images, generator):
    """Draws a letter or a sign for each image, in all its channels."""
    shapes = list(non_digits.SHAPES.values())
    chosen = generator.integers(len(shapes), size=len(images))
    size, margin = 28, images.shape[1] - 28
    drawn = [non_digits.draw(shapes[number], size, generator) for number in chosen]
    border = (margin // 2, margin - margin // 2)
    padded = np.pad(np.array(drawn, "float32"), ((0, 0), border, border))
    return np.broadcast_to(padded[..., None], images.shape)


CORRUPTIONS = {"noise": noise, "blur": blur, "contrast": contrast, "occlusion": occlusion}
