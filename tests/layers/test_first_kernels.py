"""The kernels that layers start with."""

import numpy as np
import pytest
from conftest import gradient, to_numpy

from keras_capsules import CapsuleLayer, CapsuleLength, ConvCapsule2D, VoteScaling


@pytest.mark.parametrize("children", [16, 1152])
def test_default_initializer_starts_parents_long_enough_for_a_stack(generator, children):
    poses = generator.normal(size=(4, children, 8)).astype("float32")
    poses /= np.linalg.norm(poses, axis=-1, keepdims=True)
    layer = CapsuleLayer(10, 16, routing="uniform")
    lengths = to_numpy(CapsuleLength()(layer(poses)))
    assert 0.7 < lengths.mean() < 0.9  # 2**2 / (1 + 2**2) is 0.8.
    assert np.abs(gradient(layer, poses)).max() > 0
    np.testing.assert_allclose(
        np.std(to_numpy(layer.kernel)), 20 / np.sqrt(children * 16), rtol=0.05
    )


def test_a_shared_kernel_starts_as_one_of_many():
    layer = CapsuleLayer(10, 16, share_weights=True)
    layer.build((None, 100_000_000, 128))  # Their own kernels would not fit into any memory.
    np.testing.assert_allclose(np.std(to_numpy(layer.kernel)), 20 / np.sqrt(1e8 * 16), rtol=0.05)


def test_vote_scaling_repeats_with_a_seed():
    one, two, other = (to_numpy(VoteScaling(seed)((6, 3, 4, 5))) for seed in (1, 1, 2))
    np.testing.assert_array_equal(one, two)
    assert (one != other).any()
    with pytest.raises(ValueError, match=r"shape=\(3, 4\)"):
        VoteScaling()((3, 4))


@pytest.mark.parametrize("layer", [CapsuleLayer, ConvCapsule2D])
def test_an_unknown_initializer_is_refused_with_the_names_that_fit(layer):
    sizes = {"kernel_size": 3} if layer is ConvCapsule2D else {}
    with pytest.raises(ValueError, match='"vote_scaling".*"he_normal".*vote_scalin\''):
        layer(3, 4, kernel_initializer="vote_scalin", **sizes)
    layer(3, 4, kernel_initializer="he_normal", **sizes)
