"""The widths of hidden layers and the numbers of parameters that the papers give."""

import numpy as np
import pytest
from conftest import once

from keras_capsules import SqueezeExcitation, attention

RESNET50 = ((256, 3, 56), (512, 4, 28), (1024, 6, 14), (2048, 3, 7))


@once
@pytest.mark.parametrize(
    ("arguments", "width"),
    [
        ({}, 4),  # the paper: 64 / 16
        ({"divisor": 8}, 8),  # timm: at least 8
        ({"reduction_ratio": 5}, 12),  # rounds down
        ({"reduction_ratio": 5, "divisor": 8}, 16),  # 12 to the nearest multiple, halves up
        ({"reduced_channels": 3}, 3),
        ({"reduction_ratio": 1000}, 1),
    ],
)
def test_reduced_width(arguments, width):
    layer = SqueezeExcitation(**arguments)
    layer.build((None, 7, 7, 64))
    assert layer.reduce.kernel.shape == (1, 1, 64, width)
    assert layer.count_params() == 64 * width + width + width * 64 + 64


@once
def test_eca_kernel_sizes():
    sizes = {64: 3, 128: 5, 256: 5, 512: 5, 1024: 5, 2048: 7}
    for channels, size in sizes.items():
        layer = attention.get("eca")
        layer.build((None, 7, 7, channels))
        assert layer.count_params() == size


@once
@pytest.mark.parametrize(
    ("name", "arguments", "expected"),
    [
        ("se", {}, 28_088_024 - 25_557_032),
        ("se", {"use_bias": False}, 28_071_976 - 25_557_032),
        ("eca", {}, 86),
        ("cbam", {}, 28_089_624 - 25_557_032),
        ("srm", {}, 60_416),
        ("triplet", {}, 4_800),
        ("simam", {}, 0),
        ("ge", {}, 0),
        ("ge", {"variant": "theta"}, 5_519_360 + 2 * 15_104),
    ],
)
def test_parameters_in_resnet50(name, arguments, expected):
    total = 0
    for channels, blocks, size in RESNET50:
        layer = attention.get(name, **arguments)
        layer.build((None, size, size, channels))
        total += blocks * sum(int(np.prod(w.shape)) for w in layer.trainable_weights)
    assert total == expected


@once
def test_parameters_of_others():
    published = 0
    for (_, blocks, _), size in zip(RESNET50, (3, 5, 5, 7), strict=True):
        layer = attention.get("eca", kernel_size=size)
        layer.build((None, 7, 7, 64))
        published += blocks * layer.count_params()
    assert published == 80
    for mode in ("max", "add"):
        layer = attention.get("scse", mode=mode)
        layer.build((None, 7, 7, 64))
        assert layer.count_params() == (2 * 64 * 32 + 32 + 64) + (64 + 1)
    layer = attention.get("ese")
    layer.build((None, 7, 7, 64))
    assert layer.count_params() == 64 * 64 + 64
