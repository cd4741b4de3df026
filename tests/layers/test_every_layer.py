"""What every layer promises: a config that rebuilds it, known shapes, and half precision."""

import keras
import numpy as np
import pytest
from conftest import to_numpy

from keras_capsules import (
    CapsuleLayer,
    CapsuleLength,
    CapsuleMask,
    PrimaryCapsule2D,
    ReconstructionDecoder,
)

LAYERS = [
    (CapsuleLayer(3, 5), (6, 4)),
    (CapsuleLayer(3, 5, routing="uniform", use_bias=True, kernel_regularizer="l2"), (2, 2, 3, 4)),
    (CapsuleLayer(3, 4, transform="matrix", share_weights=True, use_bias=True), (6, 4)),
    (CapsuleLayer(2, 3, kernel_initializer="he_normal", kernel_constraint="unit_norm"), (6, 4)),
    (PrimaryCapsule2D(2, 4, 3, strides=2, padding="same", activation=None), (7, 9, 5)),
    (PrimaryCapsule2D(2, 4, (3, 1)), (7, 9, 5)),
    (CapsuleLength(), (6, 4)),
    (CapsuleMask(), (6, 4)),
    (ReconstructionDecoder((3, 2, 1), units=(8, 7)), (6, 4)),
    (ReconstructionDecoder((3, 2, 1), class_independent=True, name="class_independent"), (6, 4)),
]
every_layer = pytest.mark.parametrize(
    ("layer", "shape"), LAYERS, ids=[f"{layer.name}-{len(shape)}d" for layer, shape in LAYERS]
)


@every_layer
def test_config_shapes_and_weights_of_a_rebuilt_layer(generator, layer, shape):
    x = generator.normal(size=(2, *shape)).astype("float32")
    expected = to_numpy(layer(x))
    assert layer(keras.Input(shape)).shape == (None, *expected.shape[1:])
    assert layer.compute_output_shape((None, *shape)) == (None, *expected.shape[1:])
    again = type(layer).from_config(layer.get_config())
    assert again.get_config() == layer.get_config()
    again.build((None, *shape))
    again.set_weights(layer.get_weights())
    np.testing.assert_array_equal(to_numpy(again(x)), expected)


@every_layer
@pytest.mark.parametrize("policy", ["mixed_float16", "mixed_bfloat16"])
def test_mixed_precision(generator, layer, shape, policy):
    config = layer.get_config() | {"dtype": keras.DTypePolicy(policy)}
    config.pop("routing", None)
    half = type(layer).from_config(config)
    assert type(layer).from_config(half.get_config()).dtype_policy.name == policy
    x = generator.normal(size=(2, *shape)).astype("float32")
    outputs = half(x)
    assert keras.backend.standardize_dtype(outputs.dtype) == policy.removeprefix("mixed_")
    assert all(weight.dtype == "float32" for weight in half.weights)
    assert np.isfinite(to_numpy(keras.ops.cast(outputs, "float32"))).all()
