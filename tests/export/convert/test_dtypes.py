"""Operations on integers, truth values and half precision in ONNX files."""

import keras
import numpy as np
import onnx
import pytest
from conftest import once
from converted import converted
from keras import ops

from tests.export.convert.comparison import INTEGERS, check, inputs_of, run

pytestmark = once

INTEGER_FUNCTIONS = {
    "mod": (lambda x: ops.mod(x, 7), lambda x: x % 7),
    "mod below 0": (lambda x: ops.mod(x, -7), lambda x: x % -7),
    "floor_divide": (lambda x: x // 7, lambda x: x // 7),
    "floor_divide below 0": (lambda x: x // -4, lambda x: x // -4),
    "uint8": (lambda x: ops.cast(x, "uint8"), lambda x: x.astype("uint8")),
    "int8": (lambda x: ops.cast(x, "int8"), lambda x: x.astype("int8")),
    "one_hot": (lambda x: ops.one_hot(x, 3), lambda x: np.float32(x[..., None] == np.arange(3))),
    "one_hot, axis": (
        lambda x: ops.one_hot(x, 3, axis=1),
        lambda x: np.float32(x[:, None] == np.arange(3)[:, None]),
    ),
    "one_hot, bool": (
        lambda x: ops.one_hot(x, 3, dtype="bool"),
        lambda x: x[..., None] == np.arange(3),
    ),
    "one_hot, int32": (
        lambda x: ops.one_hot(x, 3, dtype="int32"),
        lambda x: np.int32(x[..., None] == np.arange(3)),
    ),
    "multi_hot": (
        lambda x: ops.multi_hot(x, 3),
        lambda x: np.float32((x[..., None] == np.arange(3)).any(1)),
    ),
    "sort": (lambda x: ops.sort(x, axis=-1), lambda x: np.sort(x, -1)),
    "top_k": (lambda x: ops.top_k(x, 2)[0], lambda x: -np.sort(-x, -1)[:, :2]),
    "argmax": (lambda x: ops.argmax(x, -1), lambda x: np.int32(x.argmax(-1))),
    "argsort": (lambda x: ops.argsort(x, -1), lambda x: np.int32(x.argsort(-1, kind="stable"))),
    "cumprod": (lambda x: ops.cumprod(x % 5, 1), lambda x: (x % 5).cumprod(1, dtype="int32")),
    "digitize": (
        lambda x: ops.digitize(x, np.array([-1, 0, 7])),
        lambda x: np.int32(np.digitize(x, [-1, 0, 7])),
    ),
}


@pytest.mark.parametrize("name", sorted(INTEGER_FUNCTIONS))
def test_integers_of_both_signs(name):
    function, expected = INTEGER_FUNCTIONS[name]
    inputs = inputs_of((8,), dtype=INTEGERS)
    x = np.array([[-7, -6, -1, 0, 1, 2, 3, 300], [2**24 + 1, 2**24, -300, 5, 2, 2, 0, -1]], "int32")
    model = keras.Model(inputs, function(*inputs))
    (value,) = run(converted(model), [x])
    right = expected(x)
    assert value.dtype == right.dtype
    np.testing.assert_array_equal(value, right)
    check(inputs, model.output, samples=x)


@pytest.mark.parametrize("dtype", ["int8", "uint8", "int16", "int32", "int64", "bool", "float16"])
def test_choices_of_each_dtype(dtype):
    inputs = inputs_of((3, 4))
    (x,) = inputs
    check(inputs, ops.where(x > 0, ops.cast(x * 10 % 2, dtype), ops.cast(x[:, :1] > 1, dtype)))


@pytest.mark.parametrize("dtype", ["int8", "uint8", "int16"])
def test_small_integers_are_computed_as_large_ones(dtype):
    """onnxruntime 1.20 has no sums of small integers."""
    x = keras.Input((4,), dtype=dtype)
    file = check([x], [x + x, x - 1, x * x, x // 3])
    inferred = onnx.shape_inference.infer_shapes(file).graph
    small = {
        value.name
        for value in (*inferred.input, *inferred.value_info)
        if value.type.tensor_type.elem_type == onnx.helper.np_dtype_to_tensor_dtype(np.dtype(dtype))
    }
    computed = [node for node in file.graph.node if node.op_type != "Cast"]
    assert computed and not any(name in small for node in computed for name in node.input)


def test_a_part_that_is_cut_off_is_false():
    inputs = inputs_of((4,))
    model = keras.Model(inputs, ops.cast(ops.cast(*inputs, "int32"), "bool"))
    (found,) = run(converted(model), [np.array([[-0.9, 0.4, 1.2, -3]], "float32")])
    np.testing.assert_array_equal(found, [[False, False, True, True]])
