"""Half precision, zeros, batches of nothing, and values of any size."""

import keras
import numpy as np
import pytest
from conftest import gradient, to_numpy

from keras_capsules import attention
from tests.attention.cases import NAMES, SEQUENCES, compiled, same, swap

# JAX compiles again for each dtype.
POLICIES = ["mixed_float16", "mixed_bfloat16"][: 1 if keras.backend.backend() == "jax" else 2]


@pytest.mark.parametrize("policy", POLICIES)
@pytest.mark.parametrize("name", NAMES)
def test_half_precision(name, policy):
    """A float16 sum over this map would be infinite, were it not done in float32."""
    layer = attention.get(name, dtype=policy)
    x = np.full((1, 16, 16, 4), 300.0, "float32")
    layer.build(x.shape)
    tensors = keras.tree.flatten(compiled(layer, return_gates=True)(x))
    for tensor in tensors:
        assert keras.backend.standardize_dtype(tensor.dtype) == policy.removeprefix("mixed_")
        assert np.isfinite(to_numpy(keras.ops.cast(tensor, "float32"))).all()
    symbolic = layer(keras.KerasTensor(x.shape), return_gates=True)
    assert {t.dtype for t in keras.tree.flatten(symbolic)} == {policy.removeprefix("mixed_")}


@pytest.mark.parametrize("shape", [(1, 5, 4, 8), (1, 1, 1, 8)])
@pytest.mark.parametrize("name", NAMES)
def test_finite_at_zero(name, shape):
    layer = attention.get(name)
    x = np.zeros(shape, "float32")
    layer.build(shape)
    # The gradient of x * gates at zero has the gates in it, so it is NaN where they are.
    assert np.isfinite(gradient(compiled(layer), x)).all()


@pytest.mark.parametrize("data_format", ["channels_last", "channels_first"])
@pytest.mark.parametrize("name", NAMES)
def test_a_batch_of_nothing(name, data_format):
    for shape in [(0, 5, 4, 8), (0, 6, 8)][: 2 if name in SEQUENCES else 1]:
        layer = attention.get(name, data_format=data_format)
        x = swap(np.zeros(shape, "float32"), data_format)
        outputs, gates = layer(x, return_gates=True)
        full = layer(np.ones((1, *x.shape[1:]), "float32"), return_gates=True)[1]
        same(outputs.shape, x.shape)
        keras.tree.map_structure(lambda g, one: same(g.shape, (0, *one.shape[1:])), gates, full)
        same(gradient(lambda v, layer=layer: layer(v, training=True), x).shape, x.shape)


@pytest.mark.parametrize("scale", [1e-30, 1e-3, 1e6, 1e18])
def test_simam_of_any_size(generator, scale):
    """Beyond one, the gates do not depend on the scale, and so neither does the gradient."""
    layer = attention.get("simam")
    x = generator.normal(size=(2, 32, 32, 3)).astype("float32")
    slopes = gradient(layer, scale * x)
    assert np.isfinite(slopes).all() and np.isfinite(to_numpy(layer(scale * x))).all()
    if scale > 1:
        np.testing.assert_allclose(slopes, gradient(layer, 100 * x), atol=1e-4)
