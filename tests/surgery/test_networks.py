"""Blocks in the networks of Keras."""

import keras
import numpy as np
import pytest
from conftest import once
from keras import layers

from keras_capsules import insert_attention
from tests.surgery.residual import assert_kept, edges, inserted


@pytest.mark.slow
@once
def test_resnet50():
    """The count of SE-ResNet-50 is PyTorch's: without moving statistics and convolutions' biases.

    Keras counts the former and its ResNet-50 has the latter.
    """
    model = keras.applications.ResNet50(weights=None)
    copy = insert_attention(model, "se")
    blocks = [copy.get_layer(name) for name in inserted(model, copy)]
    assert [block.name for block in blocks] == [
        f"conv{stage}_block{number}_3_bn_se"
        for stage, count in ((2, 3), (3, 4), (4, 6), (5, 3))
        for number in range(1, count + 1)
    ]
    added = sum(2 * c * c // 16 + c // 16 + c for c in (256,) * 3 + (512,) * 4 + (1024,) * 6)
    added += 3 * (2 * 2048 * 2048 // 16 + 2048 // 16 + 2048)
    assert sum(block.count_params() for block in blocks) == added == 28_088_024 - 25_557_032
    biases = [layer.bias for layer in model.layers if isinstance(layer, layers.Conv2D)]
    statistics = model.non_trainable_weights
    extra = sum(int(np.prod(weight.shape)) for weight in biases + statistics)
    assert model.count_params() == 25_557_032 + extra
    assert copy.count_params() == 28_088_024 + extra == 28_167_704
    assert_kept(model, copy)
    assert edges(copy)["conv2_block1_add"] == ["conv2_block1_0_bn", "conv2_block1_3_bn_se"]


@pytest.mark.slow
@once
@pytest.mark.parametrize(
    "build, places, first",
    [
        (keras.applications.MobileNetV2, 10, "block_2_project_BN_eca"),
        (keras.applications.MobileNetV3Small, 6, "expanded_conv_2_project_bn_eca"),
        (keras.applications.EfficientNetB0, 9, "block2b_drop_eca"),
    ],
)
def test_mobile_networks(generator, build, places, first):
    model = build(input_shape=(32, 32, 3), weights=None, classes=4)
    copy = insert_attention(model, "eca")
    names = inserted(model, copy)
    assert len(names) == places and names[0] == first
    assert_kept(model, copy)
    scores = copy(generator.uniform(size=(2, 32, 32, 3)).astype("float32"))
    np.testing.assert_allclose(np.sum(scores, axis=1), 1, atol=1e-5)
