"""Masked capsules and masked steps of a sequence do not count."""

import numpy as np
import pytest
from conftest import gradient, to_numpy

from keras_capsules import CapsuleSqueezeExcitation, attention
from tests.attention.cases import SEQUENCES, compiled, randomize


def test_absent_capsules(generator):
    layer = CapsuleSqueezeExcitation()
    poses = generator.normal(size=(2, 6, 4)).astype("float32")
    mask = np.array([[True] * 4 + [False] * 2, [True] * 6])
    randomize(layer, poses.shape, generator)
    masked = compiled(layer, return_gates=True)
    found, gates = to_numpy(masked(poses, mask))
    silent = np.where(mask[:, :, None], poses, 0).astype("float32")
    np.testing.assert_allclose(found[:, :4], to_numpy(compiled(layer)(silent))[:, :4], atol=1e-6)
    assert (found[0, 4:] == 0).all() and (gates[0, 4:] == 0).all() and (gates[mask] > 0).all()
    garbage = np.where(mask[:, :, None], poses, np.nan)
    np.testing.assert_array_equal(to_numpy(masked(garbage, mask)[0]), found)
    assert np.isfinite(gradient(compiled(layer), np.zeros_like(poses))).all()


@pytest.mark.parametrize("name", SEQUENCES)
def test_a_masked_sequence_equals_a_shorter_one(generator, name):
    narrow = "reduced_channels" in attention.get(name).get_config()
    layer = attention.get(name, **({"reduced_channels": 4} if narrow else {}))
    x = generator.normal(size=(2, 6, 8)).astype("float32")
    randomize(layer, x.shape, generator)
    mask = np.array([[True] * 4 + [False] * 2] * 2)
    call = compiled(layer)
    masked = to_numpy(call(x, mask))
    np.testing.assert_allclose(masked[:, :4], to_numpy(call(x[:, :4])), atol=1e-6)
    garbage = np.where(mask[:, :, None], x, np.nan)
    np.testing.assert_array_equal(to_numpy(call(garbage, mask))[:, :4], masked[:, :4])
    assert np.isfinite(to_numpy(call(x, np.zeros((2, 6), "bool")))).all()
    with pytest.raises(ValueError, match="sequences only"):
        attention.get(name)(np.ones((2, 3, 3, 4), "float32"), mask=np.ones((2, 3), "bool"))
