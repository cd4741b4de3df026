"""The decoder, and the mask that chooses the pose which it sees."""

import numpy as np
import pytest
from conftest import to_numpy

from keras_capsules import CapsuleMask, ReconstructionDecoder


def test_mask_keeps_the_longest_or_the_labelled(generator):
    poses = generator.normal(size=(5, 4, 3)).astype("float32")
    longest = np.linalg.norm(poses, axis=-1).argmax(axis=1)
    expected = poses * np.eye(4)[longest][:, :, None]
    np.testing.assert_array_equal(to_numpy(CapsuleMask()(poses)), expected)
    equal = np.ones((2, 3, 4), "float32")
    np.testing.assert_array_equal(to_numpy(CapsuleMask()(equal))[:, :, 0], [[1, 0, 0]] * 2)
    labels = np.array([[1, 0, 0, 0], [0, 1, 1, 0], [0, 0, 0, 0], [0, 0, 0, 1], [1, 0, 0, 0]])
    np.testing.assert_array_equal(
        to_numpy(CapsuleMask()(poses, labels)), poses * labels[:, :, None]
    )
    for wrong in (longest, labels[:, :3]):
        with pytest.raises(ValueError, match="to_categorical"):
            CapsuleMask()(poses, wrong)


@pytest.mark.parametrize("class_independent", [False, True])
def test_decoder_is_dense_layers_into_an_image(generator, class_independent):
    decoder = ReconstructionDecoder((3, 2, 1), (8,), class_independent)
    poses = generator.normal(size=(2, 4, 3)).astype("float32")
    image = to_numpy(decoder(poses))
    kernel_1, bias_1, kernel_2, bias_2 = (to_numpy(weight) for weight in decoder.weights)
    seen = poses.sum(axis=1) if class_independent else poses.reshape(2, 12)
    hidden = np.maximum(seen @ kernel_1 + bias_1, 0)
    expected = 1 / (1 + np.exp(-(hidden @ kernel_2 + bias_2)))
    np.testing.assert_allclose(image, expected.reshape(2, 3, 2, 1), atol=1e-6)
