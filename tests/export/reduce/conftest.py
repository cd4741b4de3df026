"""Fixtures of the files of reduced precision."""

import numpy as np
import onnx
import pytest
from conftest import once

pytestmark = once


@pytest.fixture(scope="module")
def file(exported_capsnet):
    return onnx.load(exported_capsnet[0])


@pytest.fixture(scope="module")
def batches():
    generator = np.random.default_rng(0)
    images = generator.uniform(size=(8, 12, 12, 1)).astype("float32")
    return [{"image": images}, {"image": images[:2] * 1e4}]
