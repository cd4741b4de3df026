"""Operations of Keras in ONNX files, beside Keras and beside NumPy."""

import contextlib

import keras
import numpy as np
import pytest
from conftest import once
from converted import converted
from keras import layers, ops

from export.convert.operations.tensors import without_ellipsis
from export.graph import canonical
from tests.export.convert.comparison import FLOATS, INTEGERS, check, inputs_of, run

pytestmark = once


def operations_of(file):
    return {node.op_type for node in file.graph.node}


FUNCTIONS = {
    "cumprod": lambda x: ops.cumprod(x / 30, axis=1),
    "cumsum": lambda x: ops.cumsum(x, axis=1),
    "digitize": lambda x: ops.digitize(x, np.array([-1.0, 0.0, 0.5, 70.0])),
    "einsum": lambda x: ops.einsum("...i,...i->...", x, x),
    "expm1": lambda x: ops.expm1(x / 30),
    "log1p": lambda x: ops.log1p(x),
    "logaddexp": lambda x: ops.logaddexp(x, x[:, ::-1]),
    "logsumexp": lambda x: ops.logsumexp(x, axis=1),
    "argmax": lambda x: [ops.argmax(x, axis=1), ops.argmin(x, axis=-1)],
    "argsort": lambda x: ops.argsort(x, axis=1),
    "median": lambda x: ops.median(x, axis=-1),
    "cross": lambda x: ops.cross(x[..., :3], x[..., 1:]),
    "quantiles": lambda x: ops.quantile(x, [0.3, 0.9], axis=1),
    "quantile": lambda x: ops.quantile(x, 0.3, axis=-1),
    "pad": lambda x: ops.pad(x, ((0, 0), (2, 1), (0, 3)), mode="reflect"),
    "searchsorted": lambda x: ops.searchsorted(
        np.array([-1, 0, 70], "float32"), ops.reshape(x, -1)
    ),
    "slice_update": lambda x: ops.slice_update(x, (0, 2, 1), x[:, :2, :2]),
    "split": lambda x: ops.split(x, [1, 3], axis=1),
    "std": lambda x: ops.std(x, axis=(1, 2)),
    "top_k": lambda x: ops.top_k(x, 3)[0],
}


@pytest.mark.parametrize("name", sorted(FUNCTIONS))
def test_functions(name):
    inputs = inputs_of((5, 4))
    check(inputs, FUNCTIONS[name](*inputs))


def test_without_integers_alone_quantiles_are_wrong(monkeypatch):
    """The patch of onnxslim can go once they are right without it: this test then fails."""
    monkeypatch.setattr(canonical, "integers_alone", contextlib.nullcontext)
    inputs = inputs_of((5, 4))
    with pytest.raises(AssertionError):
        check(inputs, FUNCTIONS["quantile"](*inputs))


def test_functions_near_zero_have_no_relative_error():
    inputs = inputs_of((6,))
    model = keras.Model(inputs, [ops.log1p(*inputs), ops.expm1(*inputs)])
    x = np.array([[-0.4, -1e-3, -1e-12, 1e-20, 1e-6, 0.4]], "float32")
    log1p, expm1 = run(converted(model), [x])
    np.testing.assert_allclose(log1p, np.log1p(x.astype("float64")), rtol=1e-6)
    np.testing.assert_allclose(expm1, np.expm1(x.astype("float64")), rtol=1e-6)


def test_functions_at_their_ends():
    inputs = inputs_of((4,))
    model = keras.Model(inputs, [ops.log1p(*inputs), ops.expm1(*inputs)])
    x = np.array([[np.inf, -1, 1e30, np.nan]], "float32")
    log1p, expm1 = run(converted(model), [x])
    np.testing.assert_allclose(log1p[0], [np.inf, -np.inf, np.log(1e30), np.nan], rtol=1e-6)
    np.testing.assert_allclose(expm1[0, [0, 1, 3]], [np.inf, np.expm1(-1), np.nan], rtol=1e-6)


def test_argmax_takes_the_first_of_equals_and_zero_before_minus_zero():
    inputs = inputs_of((3,))
    x = np.array([[1, 5, 5], [-0.0, 0.0, -0.0], [-1, -0.0, -2]], "float32")
    check(inputs, [ops.argmax(*inputs, axis=-1), ops.argmin(*inputs, axis=-1)], samples=x)


def test_what_is_not_chosen_does_not_matter():
    inputs = inputs_of((5,))
    x = np.array([[np.inf, -np.inf, np.nan, 1, -2]], "float32")
    finite = ops.nan_to_num(*inputs, posinf=9.0, neginf=-9.0)
    model = keras.Model(inputs, [finite, ops.where(inputs[0] > 0, inputs[0], 0.0)])
    np.testing.assert_array_equal(
        run(converted(model), [x]), [[[9, -9, 0, 1, -2]], [[np.inf, 0, 0, 1, 0]]]
    )


def test_no_equation_of_einsum_stays():
    inputs = inputs_of((3, 4))
    file = check(inputs, layers.EinsumDense("...x,xy->...y", output_shape=5)(*inputs))
    assert "Einsum" not in operations_of(file)


@pytest.mark.parametrize(
    "equation, shapes, expected",
    [
        ("...ij,jk->...ik", [(-1, 2, 3, 4), (4, 5)], "abij,jk->abik"),
        ("a...,a...->...", [(2, 3), (2, 3)], "ab,ab->b"),
        ("...i,...i->...i", [(2, 3), (3,)], "ai,i->ai"),
    ],
)
def test_ellipses_are_written_out(equation, shapes, expected):
    assert without_ellipsis(equation, [list(shape) for shape in shapes]) == expected


SEGMENTS = {
    "segment_sum": (np.add, 0),
    "segment_prod": (np.multiply, 1),
    "segment_max": (np.maximum, None),
    "segment_min": (np.minimum, None),
}


@pytest.mark.parametrize("opset", [17, 18])
@pytest.mark.parametrize("dtype", [FLOATS, INTEGERS])
@pytest.mark.parametrize("name", SEGMENTS)
def test_segments(name, dtype, opset):
    function, empty = SEGMENTS[name]
    data, segments = keras.Input((), dtype=dtype), keras.Input((), dtype=INTEGERS)
    numbers = np.array([2, 0, 2, 2, 4, -1, 0], INTEGERS)
    values = np.array([3, -1, 5, -7, 2, 8, 6]).astype(dtype)
    ends = np.finfo(dtype) if dtype == FLOATS else np.iinfo(dtype)
    expected = np.full(5, {"segment_max": ends.min, "segment_min": ends.max}.get(name, empty))
    for number in (0, 2, 4):
        expected[number] = function.reduce(values[numbers == number])
    model = keras.Model([data, segments], getattr(ops, name)(data, segments, 5))
    (found,) = run(converted(model, opset), [values, numbers])
    assert found.dtype == dtype
    np.testing.assert_array_equal(found, expected.astype(dtype))


@pytest.mark.parametrize("name, expected", [("segment_sum", [5, 0, 3]), ("segment_max", [6, 0, 3])])
def test_segments_in_order(name, expected):
    data, segments = keras.Input(()), keras.Input((), dtype=INTEGERS)
    model = keras.Model([data, segments], getattr(ops, name)(data, segments, sorted=True))
    arrays = [np.array([-1, 6, 3], "float32"), np.array([0, 0, 2], INTEGERS)]
    np.testing.assert_array_equal(run(converted(model), arrays)[0], expected)
