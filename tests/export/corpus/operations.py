"""Operations of `keras.ops` on real numbers, integers and truth values."""

import keras
import numpy as np
from keras import ops

from tests.export.corpus.registry import model


def of_real(function):
    x = keras.Input((4, 5))
    return keras.Model(x, function(x))


ELEMENTWISE = (
    "abs arctan arcsinh ceil cos cosh erf exp expm1 floor isfinite logical_not negative "
    "reciprocal relu6 round sign sin sinh square tan trunc"
)


@model(ELEMENTWISE.split())
def elementwise(name):
    return of_real(getattr(ops, name))


@model(("log", "log1p", "log2", "log10", "sqrt", "rsqrt", "arcsin", "arctanh"), floats=(0.05, 0.9))
def of_positive(name):
    return of_real(getattr(ops, name))


REDUCTIONS = "all any amax amin logsumexp max mean median min prod std sum var count_nonzero"


@model(REDUCTIONS.split())
def reduced(name):
    return of_real(lambda x: getattr(ops, name)(x, axis=-1))


@model(("max", "min", "sum", "mean"))
def scalar(name):
    """One number for the whole batch."""
    return of_real(getattr(ops, name))


@model()
def share_of_largest():
    return of_real(lambda x: x / ops.max(x))


PLACES = {
    "argmax": lambda x: ops.argmax(x, axis=-1),
    "argmin": lambda x: ops.argmin(x, axis=1),
    "argsort": lambda x: ops.argsort(x, axis=-1),
    "sort": lambda x: ops.sort(x, axis=1),
    "top_k": lambda x: list(ops.top_k(x, 3)),
    "in_order": lambda x: ops.take_along_axis(x, ops.argsort(x), axis=-1),
    "searchsorted": lambda x: ops.searchsorted(np.float32([-1, 0, 1]), x[:, 0, 0]),
    "digitize": lambda x: ops.digitize(x, np.float32([-1, 0, 1])),
}


@model(PLACES)
def places(function):
    return of_real(function)


RUNNING = {
    "cumsum": lambda x: ops.cumsum(x, axis=1),
    "cumprod": lambda x: ops.cumprod(x, axis=1),
    "diff": lambda x: ops.diff(x, axis=-1),
    "clip": lambda x: ops.clip(x, -0.5, 1.0),
    "where": lambda x: ops.where(x > 0, x, 0.1 * x),
    "norm": lambda x: ops.norm(x, axis=-1),
    "maximum": lambda x: ops.maximum(x, -x * 0.5),
    "power": lambda x: ops.power(ops.abs(x), 1.5),
    "arctan2": lambda x: ops.arctan2(x[:, 0], x[:, 1]),
    "nan_to_num": lambda x: ops.nan_to_num(x / ops.floor(x), posinf=9.0, neginf=-9.0),
    "chosen_by_column": lambda x: ops.where(x[..., :1] > 0, x, x[:, :1] / 0.0),
    "chosen_by_whole_part": lambda x: ops.where(ops.cast(x, "int32"), x, 5.0 * x),
    "selected": lambda x: ops.select([x > 1, x > 0], [x, 2 * x], -3.0),
    "quantiles": lambda x: ops.quantile(x, [0.1, 0.5, 0.9], axis=-1),
    "cross": lambda x: ops.cross(x[..., :3], x[..., 1:4]),
    "mod": lambda x: ops.mod(x, 0.7),
    "floor_divide": lambda x: x // 0.7,
    "logical": lambda x: ops.logical_and(x > -1, ops.logical_or(x < 0, x > 1)),
    "one_of_all": lambda x: ops.any(x > 1, axis=(1, 2)),
}


@model(RUNNING)
def real(function):
    return of_real(function)


@model(refused=("UnsupportedOperationError", "matrices of cosines and sines"))
def fourier():
    return of_real(lambda x: list(ops.rfft(x)))


PRODUCTS = {
    "matmul": lambda x: ops.matmul(x, ops.transpose(x, (0, 2, 1))),
    "einsum_of_pairs": lambda x: ops.einsum("bij,bkj->bik", x, x),
    "einsum_of_diagonal": lambda x: ops.einsum("bij,bij->bi", x, x),
    "einsum_of_three": lambda x: ops.einsum("bij,bkj,bkl->bil", x, x, x),
    "einsum_of_heads": lambda x: ops.einsum("...qd,...kd->...qk", x, x),
    "einsum_of_vectors": lambda x: ops.einsum("bi,bj->bij", x[:, 0], x[:, 1]),
    "tensordot": lambda x: ops.tensordot(x, np.ones((5, 2), "float32"), axes=1),
    "outer": lambda x: ops.expand_dims(x, 2) * ops.expand_dims(x, 3),
    "dot": lambda x: keras.layers.Dot(axes=2, normalize=True)([x, x]),
}


@model(PRODUCTS)
def product(function):
    return of_real(function)


CASTS = ("float16", "float64", "int8", "int32", "int64", "uint8", "bool")


@model(CASTS, floats=(0, 9))
def cast(dtype):
    return of_real(lambda x: ops.cast(x, dtype))


INTEGERS = {
    "mod": lambda x: ops.mod(x, 7),
    "floor_divide": lambda x: x // 7,
    "one_hot": lambda x: ops.one_hot(x, 3),
    "cast_to_uint8": lambda x: ops.cast(x, "uint8"),
    "cast_to_real": lambda x: ops.cast(x, "float32") / 7,
    "abs": ops.abs,
    "sum": lambda x: ops.sum(x, axis=-1),
    "equal": lambda x: ops.equal(x, 3),
    "maximum": lambda x: ops.maximum(x, 2),
}


@model(INTEGERS, integers=(-20, 20))
def integer(function):
    x = keras.Input((6,), dtype="int32")
    return keras.Model(x, function(x))


REDUCED_INTEGERS = ("int8", "uint8", "int16", "int32", "int64", "bool")


@model(REDUCED_INTEGERS, integers=(0, 9))
def reduced_integers(dtype):
    """Keras computes some in a wider dtype, and onnxruntime lacks some."""
    x = keras.Input((6,), dtype=dtype)
    names = ("sum", "prod", "max", "min", "mean", "cumsum", "cumprod", "sort", "argmax")
    return keras.Model(x, [getattr(ops, name)(x, axis=1) for name in names])


def by_segment(name):
    return lambda x: getattr(ops, name)(ops.cast(x, "float32"), x[:, 1], 10)


LOOKED_UP = {
    "take": lambda x: ops.take(np.arange(20, dtype="float32").reshape(10, 2), x, axis=0),
    "multi_hot": lambda x: ops.multi_hot(x, 10),
    "bincount": lambda x: ops.bincount(x, minlength=10),
    "segment_sum": by_segment("segment_sum"),
    "segment_max": by_segment("segment_max"),
    "segment_of_integers": lambda x: ops.segment_sum(x, x[:, 1], 10),
    "embedding": lambda x: keras.layers.Embedding(10, 3)(x),
}


@model(LOOKED_UP)
def looked_up(function):
    x = keras.Input((6,), dtype="int32")
    return keras.Model(x, function(x))


@model(("int8", "uint8", "int16", "int32", "int64", "bool", "float16", "float64"))
def input_of(dtype):
    x = keras.Input((6,), dtype=dtype)
    return keras.Model(x, keras.layers.Dense(3)(ops.cast(x, "float32")))


@model(("bitwise_and", "bitwise_or", "bitwise_xor"), refused=("UnsupportedOperationError", "18"))
def bits(name):
    """ONNX has them from version 18 on."""
    x = keras.Input((6,), dtype="int32")
    return keras.Model(x, getattr(ops, name)(x, x // 3))


ALGEBRA = {
    "cholesky": lambda x: ops.cholesky(ops.matmul(x, ops.transpose(x, (0, 2, 1)))),
    "inv": ops.inv,
    "svd": lambda x: ops.svd(x, compute_uv=False),
    "eigh": lambda x: ops.eigh(x)[0],
    "solve": lambda x: ops.solve(x, x[..., :1]),
    "qr": lambda x: list(ops.qr(x)),
}


@model(ALGEBRA, refused=("UnsupportedOperationError", "outside of the model"))
def algebra(function):
    x = keras.Input((3, 3))
    return keras.Model(x, function(x))


@model(("erfinv", "i0"), floats=(-0.9, 0.9), refused=("UnsupportedOperationError", "Replace"))
def special_function(name):
    return of_real(getattr(ops, name))


@keras.saving.register_keras_serializable(package="corpus")
class UntilLarge(keras.layers.Layer):
    """Squares its input as often as the values demand."""

    def call(self, x):
        return ops.while_loop(lambda x: ops.sum(x) < 100.0, lambda x: (ops.square(x) + 1.0,), (x,))[
            0
        ]


@keras.saving.register_keras_serializable(package="corpus")
class OneOfTwo(keras.layers.Layer):
    """Chooses a computation by the sum of its input."""

    def call(self, x):
        return ops.cond(ops.sum(x) > 0, lambda: ops.exp(x), lambda: ops.square(x))


@model(
    {"loop": UntilLarge, "branch": OneOfTwo},
    refused=("UnsupportedOperationError", "not run on every device", "Replace the layer"),
)
def control_flow(layer):
    return of_real(layer())
