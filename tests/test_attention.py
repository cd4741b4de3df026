import keras
import numpy as np
import pytest
from conftest import to_numpy

from keras_capsules import SqueezeExcitation


def reference(x, weights, gate=lambda z: 1 / (1 + np.exp(-z)), mask=None):
    """Equations 2 to 4 of arXiv 1709.01507 in float64; channels last."""
    x = x.astype("float64")
    positions = x.reshape(len(x), -1, x.shape[-1])
    mask = np.ones(positions.shape[:2]) if mask is None else mask
    squeezed = (positions * mask[:, :, None]).sum(axis=1) / mask.sum(axis=1, keepdims=True)
    if len(weights) == 4:
        w1, b1, w2, b2 = weights
    else:
        (w1, w2), b1, b2 = weights, 0, 0
    w1, w2 = (w.reshape(w.shape[-2:]) for w in (w1, w2))
    gates = gate(np.maximum(squeezed @ w1 + b1, 0) @ w2 + b2)
    return x * gates.reshape(len(x), *[1] * (x.ndim - 2), -1), gates


@pytest.mark.parametrize("positions", [(5,), (4, 5), (2, 4, 3), (1, 1)])
@pytest.mark.parametrize("data_format", ["channels_last", "channels_first"])
@pytest.mark.parametrize("use_bias", [True, False])
def test_equation(generator, positions, data_format, use_bias):
    x = generator.normal(size=(3, *positions, 8)).astype("float32")
    layer = SqueezeExcitation(4, use_bias=use_bias, data_format=data_format)
    first = data_format == "channels_first"
    inputs = np.moveaxis(x, -1, 1) if first else x
    layer.build(inputs.shape)
    layer.set_weights([generator.normal(size=w.shape) for w in layer.weights])
    expected, expected_gates = reference(x, layer.get_weights())
    outputs, gates = to_numpy(layer(inputs, return_gates=True))
    np.testing.assert_allclose(
        np.moveaxis(outputs, 1, -1) if first else outputs, expected, atol=1e-5
    )
    np.testing.assert_allclose(gates, expected_gates, atol=1e-5)
    symbolic = layer(keras.Input(inputs.shape[1:]), return_gates=True)
    assert [tensor.shape for tensor in symbolic] == [(None, *inputs.shape[1:]), (None, 8)]


def test_a_masked_sequence_equals_a_shorter_one(generator):
    layer = SqueezeExcitation(2)
    x = generator.normal(size=(2, 6, 4)).astype("float32")
    mask = np.array([[True] * 4 + [False] * 2] * 2)
    masked = to_numpy(layer(x, mask=mask))
    np.testing.assert_allclose(masked[:, :4], to_numpy(layer(x[:, :4])), atol=1e-6)
    garbage = np.where(mask[:, :, None], x, np.nan)
    np.testing.assert_array_equal(to_numpy(layer(garbage, mask=mask))[:, :4], masked[:, :4])
    assert np.isfinite(to_numpy(layer(x, mask=np.zeros((2, 6), "bool")))).all()


def test_hard_sigmoid_gate(generator):
    """MobileNetV3's, clip(z / 6 + 1 / 2), and not that of Keras 2, clip(0.2 z + 1 / 2)."""
    layer = SqueezeExcitation(2, gate_activation="hard_sigmoid")
    x = generator.normal(size=(2, 3, 3, 4)).astype("float32")
    layer.build(x.shape)
    layer.set_weights([generator.normal(size=w.shape) for w in layer.weights])
    expected, _ = reference(x, layer.get_weights(), lambda z: np.clip(z / 6 + 0.5, 0, 1))
    np.testing.assert_allclose(to_numpy(layer(x)), expected, atol=1e-5)


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


@pytest.mark.parametrize("policy", ["float32", "mixed_float16", "mixed_bfloat16"])
def test_config_round_trip_and_dtype(generator, policy):
    layer = SqueezeExcitation(4, divisor=2, activation="gelu", use_bias=False, dtype=policy)
    x = generator.normal(size=(2, 5, 5, 8)).astype("float32")
    expected = layer(x)
    assert keras.backend.standardize_dtype(expected.dtype) == policy.removeprefix("mixed_")
    again = SqueezeExcitation.from_config(layer.get_config())
    assert again.get_config() == layer.get_config()
    again.build(x.shape)
    again.set_weights(layer.get_weights())
    np.testing.assert_array_equal(
        *(to_numpy(keras.ops.cast(y, "float32")) for y in (again(x), expected))
    )


def test_wrong_arguments():
    for arguments in ({"reduction_ratio": 0}, {"divisor": -1}, {"reduced_channels": 0}):
        with pytest.raises(ValueError, match="must be positive"):
            SqueezeExcitation(**arguments)
    for shape, message in (((2, 8), "rank 3"), ((2, 4, 4, None), "number of channels")):
        with pytest.raises(ValueError, match=message):
            SqueezeExcitation().build(shape)
    with pytest.raises(ValueError, match="sequences only"):
        SqueezeExcitation()(np.ones((2, 3, 3, 4), "float32"), mask=np.ones((2, 3), "bool"))
