import keras
import numpy as np
import pytest
from conftest import gradient, to_numpy
from reference.routing import squash as reference_squash

from keras_capsules import capsule_length, exponential_squash, squash
from keras_capsules.ops import safe_norm

SCALES = [1e-3, 1e-2, 1.0, 30.0, 1e6, 1e15, 1e20, 1e27]


@pytest.mark.parametrize("scale", SCALES)
def test_squash_is_equation_1(generator, scale):
    x = (scale * generator.normal(size=(3, 5, 8))).astype("float32")
    np.testing.assert_allclose(
        to_numpy(squash(x)), reference_squash(x.astype("float64")), atol=1e-6
    )


def test_squash_along_another_axis(generator):
    x = generator.normal(size=(3, 8, 5)).astype("float32")
    expected = np.moveaxis(reference_squash(np.moveaxis(x, 1, -1).astype("float64")), -1, 1)
    np.testing.assert_allclose(to_numpy(squash(x, axis=1)), expected, atol=1e-6)


@pytest.mark.parametrize("scale", SCALES)
def test_squash_gradient(generator, scale):
    """d/ds of sum(w * squash(s)), from the quotient rule in float64."""
    s, w = generator.normal(size=(2, 6, 8))
    s = (scale * s).astype("float32")
    exact = s.astype("float64")
    norm = np.linalg.norm(exact, axis=-1, keepdims=True)
    along = np.sum(w * exact, axis=-1, keepdims=True) * exact
    expected = norm / (1 + norm**2) * w + (1 - norm**2) / (norm * (1 + norm**2) ** 2) * along
    found = gradient(lambda x: keras.ops.multiply(squash(x), w.astype("float32")), s)
    np.testing.assert_allclose(found, expected, atol=1e-5)


@pytest.mark.parametrize("function", [squash, capsule_length, safe_norm])
@pytest.mark.parametrize("value", [0.0, 1e-38, 1e-30, 1e-19, -1e-8, 1e19, -1e27])
def test_values_and_gradients_are_finite(function, value):
    x = np.full((2, 16), value, "float32")
    assert np.isfinite(to_numpy(function(x))).all()
    assert np.isfinite(gradient(function, x)).all()


@pytest.mark.parametrize("dtype", ["float16", "bfloat16"])
@pytest.mark.parametrize("value", [0.0, 1e-4, 0.1, 1e4])
def test_half_precision_neither_overflows_nor_vanishes(dtype, value):
    x = keras.ops.cast(np.full((1, 16), value, "float32"), dtype)
    squashed = squash(x)
    assert keras.backend.standardize_dtype(squashed.dtype) == dtype
    assert keras.backend.standardize_dtype(capsule_length(x).dtype) == dtype
    exact = to_numpy(keras.ops.cast(x, "float32")).astype("float64")
    expected = reference_squash(exact) if value else exact
    found = to_numpy(keras.ops.cast(squashed, "float32"))
    np.testing.assert_allclose(found, expected, rtol=1e-2, atol=1e-7)


def test_length_is_the_norm_and_below_one_after_squash(generator):
    x = generator.normal(size=(4, 10, 16)).astype("float32") * 3
    np.testing.assert_allclose(
        to_numpy(capsule_length(x)), np.linalg.norm(x.astype("float64"), axis=-1), rtol=1e-6
    )
    assert to_numpy(capsule_length(squash(x))).max() < 1


def test_a_dead_capsule_receives_a_gradient():
    assert np.abs(gradient(squash, np.zeros((1, 4), "float32"))).min() > 0


def test_nan_stays_in_its_vector():
    x = np.ones((3, 4), "float32")
    x[1, 2] = np.nan
    assert np.isnan(to_numpy(squash(x))).any(axis=1).tolist() == [False, True, False]


@pytest.mark.parametrize("function", [squash, exponential_squash, capsule_length])
def test_whole_numbers_and_lists_are_floats(function):
    expected = to_numpy(function(np.array([[3.0, 4.0]], "float32")))
    for whole in ([[3, 4]], np.array([[3, 4]], "int32")):
        np.testing.assert_array_equal(to_numpy(function(whole)), expected)
