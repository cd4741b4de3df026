"""Measures what the pixels of a picture hold, in front of its background."""

import math
from typing import Any

import keras
from keras import ops

from keras_capsules._graph import producer, upstream

# Chosen on digits of MNIST: see docs/explanations.md.
_SHARPNESS = 12.0
_WIDTHS = (1.0, 4.0, 16.0)


def content_of(feature_map: keras.KerasTensor, grid: int) -> Any:
    """Computes a weight for each pixel of the picture that a feature map comes from.

    The background `b` is the commonest value: the mean of the picture, moved three times to the
    mean of the pixels near it, within ever smaller widths. With `d_p` the distance of a pixel from
    `b`, `d` the largest one, and `s` the variance of the picture, the weights are

    `w_p = exp(12 plain**2 (d_p / d - 1))`, `plain = mean_p(exp(-16 d_p**2 / s))`.

    So the weights differ widely on a plain background, where `plain` is near one, and are about the
    same in a photograph, whose pixels all hold something.

    Args:
        feature_map: Tensor `(batch, height, width, ...)` or `(batch, length, ...)` of a model.
        grid: Integer, 2 for images, 1 for sequences.

    Returns:
        Tensor `(batch, height, width)` or `(batch, length)`, in (0, 1]; or `None` if the map does
        not come from one picture, or comes from tokens.
    """
    starts = [x for x in upstream([feature_map]) if not producer(x).inputs]
    pictures = [x for x in starts if len(x.shape) == 2 + grid]
    if len(pictures) != 1:
        return None
    (picture,) = pictures
    size = picture.shape[1:-1]
    pixels = ops.reshape(ops.cast(picture, "float32"), (-1, math.prod(size), picture.shape[-1]))
    # Differences below a thousandth of the values are rounding.
    least = 1e-6 * ops.mean(ops.square(pixels), axis=(1, 2), keepdims=True) + 1e-12
    background = ops.mean(pixels, axis=1, keepdims=True)
    squares = _squares(pixels, background)
    variance = ops.mean(squares, axis=1, keepdims=True) + least
    for width in _WIDTHS:
        near = ops.softmax(-width * squares / variance, axis=1)
        background = ops.sum(near * pixels, axis=1, keepdims=True)
        squares = _squares(pixels, background)
    plain = ops.mean(ops.exp(-_WIDTHS[-1] * squares / variance), axis=1, keepdims=True)
    relative = ops.sqrt(squares / (ops.max(squares, axis=1, keepdims=True) + least))
    weights = ops.exp(_SHARPNESS * ops.square(plain) * (relative - 1))
    return ops.reshape(weights, (-1, *size))


def _squares(pixels: Any, background: Any) -> Any:
    return ops.sum(ops.square(pixels - background), axis=2, keepdims=True)
