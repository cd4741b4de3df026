"""What ONNX cannot say is refused, with a remedy that works."""

import keras
import numpy as np
import pytest
from conftest import once
from converted import converted
from keras import layers, ops

from export.errors import UnsupportedOperationError
from tests.export.convert.comparison import INTEGERS, check, inputs_of, run

pytestmark = once

REFUSED = {
    "inverse": (lambda x: ops.inv(x), "MatrixInverse", "as an input"),
    "solve": (lambda x: ops.solve(x, x), "MatrixSolve", "as an input"),
    "rfft": (lambda x: ops.rfft(x), "RFFT", "matrices of cosines"),
    "bits": (
        lambda x: ops.bitwise_and(ops.cast(x, "int32"), np.int32([3])),
        "BitwiseAnd",
        "--opset 18",
    ),
    "erfinv": (lambda x: ops.erfinv(x), "Erfinv", "Replace"),
    "open axis": (lambda x: ops.cumprod(x, axis=0), "Cumprod", "Give the size to keras.Input"),
}


@pytest.mark.parametrize("name", REFUSED)
def test_what_onnx_cannot_say_is_refused_with_a_remedy(name):
    function, operation, remedy = REFUSED[name]
    inputs = inputs_of((4, 4))
    with pytest.raises(UnsupportedOperationError, match=f"{operation} in .*{remedy}"):
        converted(keras.Model(inputs, function(*inputs)))


def test_refusals_name_the_layer():
    inputs = inputs_of((3,), dtype="int64")
    model = keras.Model(inputs, layers.IntegerLookup(vocabulary=[1, 3], name="words")(*inputs))
    with pytest.raises(UnsupportedOperationError, match="LookupTableFindV2 in the layer words"):
        converted(model)


def test_remedies_of_refusals_work():
    inputs = inputs_of((8,))
    angles = 2 * np.pi / 8 * np.outer(np.arange(8), np.arange(5))
    real = ops.matmul(*inputs, np.cos(angles).astype("float32"))
    imaginary = ops.matmul(*inputs, -np.sin(angles).astype("float32"))
    file = check(inputs, [real, imaginary])
    x = np.random.default_rng(0).normal(size=(2, 8)).astype("float32")
    expected = np.fft.rfft(x)
    np.testing.assert_allclose(run(file, [x]), [expected.real, expected.imag], atol=1e-5)
    bits = inputs_of((4,), dtype=INTEGERS)
    check(bits, ops.bitwise_xor(ops.bitwise_and(*bits, np.int32([6])), np.int32([3])), opset=18)
