"""Models that change shapes, have open axes, or a fixed batch."""

import keras
from keras import layers, ops

from tests.export.corpus.registry import model

RESHAPED = {
    "flatten": lambda x: layers.Flatten()(x),
    "reshape": lambda x: layers.Reshape((5, -1))(x),
    "reshape_ops": lambda x: ops.reshape(x, (-1, 10)),
    "permute": lambda x: layers.Permute((2, 1))(x),
    "repeat_vector": lambda x: layers.RepeatVector(3)(x[:, 0]),
    "transpose": lambda x: ops.transpose(x, (1, 0, 2)),
    "squeeze": lambda x: ops.squeeze(x[:, :1], axis=1),
    "expand": lambda x: ops.expand_dims(x, (0, 2)),
    "swapaxes": lambda x: ops.swapaxes(x, 1, 2),
}


@model(RESHAPED)
def reshaped(function):
    x = keras.Input((4, 5))
    return keras.Model(x, function(x))


PICKED = {
    "slice": lambda x: x[:, 1:-1, ::2],
    "reversed": lambda x: x[..., ::-1],
    "one_row": lambda x: x[:, -1],
    "new_axis": lambda x: x[:, None, ..., 1:],
    "last_of_batch": lambda x: x[-1],
    "flip": lambda x: ops.flip(x, axis=1),
    "roll": lambda x: ops.roll(x, 2, axis=-1),
    "take": lambda x: ops.take(x, [3, 0, 0], axis=1),
    "split": lambda x: ops.split(x, [1, 3], axis=-1),
    "unstack": lambda x: ops.unstack(x, axis=1),
    "diagonal": lambda x: ops.diagonal(x, axis1=1, axis2=2),
    "triangle": ops.tril,
}


@model(PICKED)
def picked(function):
    x = keras.Input((4, 5))
    return keras.Model(x, function(x))


JOINED = {
    "concatenate": lambda x: layers.Concatenate(axis=1)([x, x * 2]),
    "stack": lambda x: ops.stack([x, -x, x], axis=1),
    "tile": lambda x: ops.tile(x, (1, 2, 3)),
    "repeat": lambda x: ops.repeat(x, 2, axis=1),
    "pad": lambda x: ops.pad(x, ((0, 0), (1, 2), (0, 1))),
    "pad_reflect": lambda x: ops.pad(x, ((0, 0), (1, 2), (0, 1)), "reflect"),
    "pad_symmetric": lambda x: ops.pad(x, ((0, 0), (1, 2), (0, 1)), "symmetric"),
    "broadcast": lambda x: x[:, :, None] + ops.ones((3, 1)),
    "ones_like": lambda x: x + ops.ones_like(x) + ops.zeros_like(x),
    "ramp": lambda x: x[:, 0] * ops.arange(5, dtype="float32"),
    "merged": lambda x: layers.Average()([layers.Maximum()([x, -x]), layers.Subtract()([x, x])]),
}


@model(JOINED)
def joined(function):
    x = keras.Input((4, 5))
    return keras.Model(x, function(x))


@keras.saving.register_keras_serializable(package="corpus")
class BySize(layers.Layer):
    """Computes with the sizes of its input, which are known only when it runs."""

    def call(self, x):
        batch, length, width = ops.shape(x)
        steps = ops.cast(ops.arange(length), x.dtype) / ops.cast(length, x.dtype)
        flat = ops.reshape(x, (batch * length, width)) * 2.0
        return ops.reshape(flat, (batch, length, width)) + steps[:, None]


OPEN = {
    "dense": lambda x: layers.Dense(3)(x),
    "convolution": lambda x: layers.Conv1D(3, 3, padding="same", dilation_rate=2)(x),
    "pooling": lambda x: layers.GlobalMaxPooling1D()(x),
    "softmax": lambda x: layers.Softmax(axis=1)(x),
    "reversed": lambda x: ops.flip(x, axis=1),
    "transposed_convolution": lambda x: layers.Conv1DTranspose(3, 3, strides=2)(x),
    "by_its_size": lambda x: BySize()(x),
    "flattened": lambda x: layers.Dense(3)(layers.Reshape((-1, 2))(x)),
}


@model(OPEN)
def open_length(function):
    x = keras.Input((None, 4))
    return keras.Model(x, function(x))


@model()
def open_image():
    convolution = layers.Conv2D(4, 3, strides=2, padding="same", activation="relu")
    pool = layers.GlobalAveragePooling2D()
    return keras.Sequential([keras.Input((None, None, 3)), convolution, pool, layers.Dense(2)])


@model(("nearest", "bilinear"))
def open_image_enlarged(interpolation):
    enlarge = layers.UpSampling2D((2, 3), interpolation=interpolation)
    return keras.Sequential([keras.Input((None, None, 3)), enlarge, layers.Conv2D(2, 3)])


@model({"whole": {}, "cropped": {"crop_to_aspect_ratio": True}})
def open_image_resized(options):
    resize = layers.Resizing(6, 5, **options)
    return keras.Sequential([keras.Input((None, None, 3)), resize])


@model(refused=("ConversionError", "Give keras.Input the height"))
def open_image_padded():
    resize = layers.Resizing(6, 5, pad_to_aspect_ratio=True)
    return keras.Sequential([keras.Input((None, None, 3)), resize])


@model()
def open_words():
    words = keras.Input((None,), dtype="int32")
    x = layers.GlobalAveragePooling1D()(layers.Embedding(10, 4)(words))
    return keras.Model(words, layers.Dense(2)(x))


@model()
def two_open_lengths():
    """Two sentences, each as long as it is."""
    first, second = keras.Input((None, 4), name="first"), keras.Input((None, 4), name="second")
    return keras.Model([first, second], ops.einsum("bid,bjd->bij", first, second))


@model()
def fixed_batch():
    return keras.Sequential([keras.Input(batch_shape=(3, 4)), layers.Dense(2)])


@model()
def one_number_each():
    """A sample is a single number, without an axis."""
    x = keras.Input(())
    return keras.Model(x, ops.sin(x) + 1)


@model()
def of_five_axes():
    x = keras.Input((2, 3, 2, 3, 2))
    return keras.Model(x, ops.sum(layers.Dense(2)(x), axis=(2, 4)))
