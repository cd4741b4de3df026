"""Every member of the squeeze-and-excitation family against NumPy."""

import keras
import numpy as np
import pytest
from conftest import to_numpy
from reference import attention as reference

from keras_capsules import CapsuleSqueezeExcitation, SqueezeExcitation, attention
from tests.attention.cases import CASES, IMAGE, POINT, WITH_WEIGHTS, compiled, randomize, same, swap

NORMALIZED = ["cbam", "ge", "sk", "ca", "srm", "triplet"]


def inputs_of(inputs, data_format):
    x = np.moveaxis(inputs, 1, -1) if data_format == "channels_first" else inputs
    return x.astype("float64")


def close(found, expected):
    np.testing.assert_allclose(found, expected, rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize("data_format", ["channels_last", "channels_first"])
@pytest.mark.parametrize(("name", "arguments", "shapes", "taken"), CASES)
def test_equation(generator, name, arguments, shapes, taken, data_format):
    for shape in shapes:
        if shape is POINT and data_format == "channels_first":
            continue  # The same numbers in the same order.
        layer = attention.get(name, **arguments, data_format=data_format)
        x = generator.normal(size=shape)
        inputs = swap(x, data_format).astype("float32")
        weights = randomize(layer, inputs.shape, generator)
        found = to_numpy(compiled(layer, return_gates=True)(inputs))
        options = {argument: arguments[argument] for argument in taken}
        expected, gates = getattr(reference, name)(
            inputs_of(inputs, data_format), weights, **options
        )
        close(found[0], swap(expected, data_format))
        keras.tree.map_structure(close, found[1], gates)
        symbolic = layer(keras.KerasTensor((None, *inputs.shape[1:])), return_gates=True)
        keras.tree.map_structure(
            lambda tensor, array: same(tensor.shape, (None, *array.shape[1:])), symbolic, found
        )


@pytest.mark.parametrize("shape", [(3, 6, 5), (2, 3, 2, 5), (1, 2, 2, 3, 5)])
def test_capsule_equation(generator, shape):
    layer = CapsuleSqueezeExcitation(reduction_ratio=2)
    poses = generator.normal(size=shape).astype("float32")
    weights = randomize(layer, shape, generator)
    found, gates = to_numpy(compiled(layer, return_gates=True)(poses))
    expected, expected_gates = reference.capsule(poses.astype("float64"), weights)
    close(found, expected)
    close(gates, expected_gates)
    close(to_numpy(compiled(layer)(poses)), expected)
    symbolic = layer(keras.KerasTensor((None, *shape[1:])), return_gates=True)
    assert [tensor.shape for tensor in symbolic] == [(None, *shape[1:]), (None, gates.shape[1])]


def test_hard_sigmoid_gate(generator):
    """MobileNetV3's, clip(z / 6 + 1 / 2), and not that of Keras 2, clip(0.2 z + 1 / 2)."""
    layer = SqueezeExcitation(2, gate_activation="hard_sigmoid")
    x = generator.normal(size=(2, 3, 3, 4)).astype("float32")
    weights = randomize(layer, x.shape, generator)
    expected, _ = reference.se(x, weights, reference.hard_sigmoid)
    np.testing.assert_allclose(to_numpy(layer(x)), expected, atol=1e-5)


@pytest.mark.parametrize("name", NORMALIZED)
def test_training_moves_the_normalization(generator, name):
    layer = attention.get(name, **WITH_WEIGHTS.get(name, {}))
    x = generator.normal(size=IMAGE).astype("float32")
    randomize(layer, IMAGE, generator)
    means = [weight for weight in layer.weights if weight.path.endswith("moving_mean")]
    before = [to_numpy(weight.value) for weight in means]
    layer(x, training=True)
    assert means and all((to_numpy(m.value) != b).any() for m, b in zip(means, before, strict=True))


def test_srm_begins_with_equal_gates_and_gc_with_the_identity(generator):
    x = generator.normal(size=IMAGE).astype("float32")
    np.testing.assert_allclose(to_numpy(attention.get("srm")(x)), x / 2, atol=1e-6)
    np.testing.assert_array_equal(to_numpy(attention.get("gc")(x)), x)
