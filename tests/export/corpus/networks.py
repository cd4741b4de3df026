"""Whole networks, small, as users write them."""

import keras
from keras import layers, ops

from keras_capsules import SqueezeExcitation
from tests.export.corpus.attention import Positions, transformer_block
from tests.export.corpus.registry import model


def convolution(filters, size=3, **options):
    return layers.Conv2D(filters, size, padding="same", activation="relu", **options)


@model({"fixed": 16, "open": None}, lengths=(8, 16))
def u_net(size):
    image = x = keras.Input((size, size, 3))
    skips = []
    for filters in (4, 8):
        x = convolution(filters)(x)
        skips.append(x)
        x = layers.MaxPooling2D()(x)
    x = convolution(16)(x)
    for skip in reversed(skips):
        x = layers.Conv2DTranspose(skip.shape[-1], 2, strides=2)(x)
        x = convolution(skip.shape[-1])(layers.Concatenate()([x, skip]))
    return keras.Model(image, layers.Conv2D(1, 1, activation="sigmoid")(x))


@model({"fixed": 8, "open": None}, lengths=(8, 13))
def squeeze_excitation(size):
    image = keras.Input((size, size, 3))
    x = SqueezeExcitation(reduction_ratio=2)(convolution(8)(image))
    return keras.Model(image, layers.Conv2D(1, 1, activation="sigmoid")(x))


def residual(x, filters, strides):
    y = layers.Conv2D(filters, 3, strides, padding="same", use_bias=False)(x)
    y = layers.ReLU()(layers.BatchNormalization()(y))
    y = layers.BatchNormalization()(layers.Conv2D(filters, 3, padding="same", use_bias=False)(y))
    shortcut = layers.Conv2D(filters, 1, strides)(x) if strides > 1 else x
    return layers.ReLU()(layers.Add()([y, shortcut]))


@model()
def residual_network():
    image = keras.Input((16, 16, 3))
    x = residual(residual(convolution(8)(image), 8, 1), 12, 2)
    x = layers.Dropout(0.5)(layers.GlobalAveragePooling2D()(x))
    return keras.Model(image, layers.Dense(5, activation="softmax")(x))


@model()
def wavenet():
    """Gated, dilated and causal convolutions over a signal of any length."""
    signal = x = keras.Input((None, 4))
    for rate in (1, 2, 4):
        options = {"padding": "causal", "dilation_rate": rate}
        gate = layers.Conv1D(4, 2, activation="sigmoid", **options)(x)
        x = x + layers.Conv1D(4, 2, activation="tanh", **options)(x) * gate
    return keras.Model(signal, layers.Conv1D(2, 1)(x))


@model()
def speech_recognizer():
    """Convolutions, recurrent layers, and letters at each step."""
    sound = keras.Input((None, 12, 1))
    x = layers.Conv2D(4, (5, 3), strides=(1, 2), padding="same", activation="relu")(sound)
    x = layers.Reshape((-1, 24))(x)
    x = layers.Bidirectional(layers.GRU(5, return_sequences=True))(x)
    return keras.Model(sound, layers.Dense(6, activation="softmax")(x))


@model()
def text_classifier():
    words = keras.Input((12,), dtype="int32")
    x = layers.Embedding(10, 6)(words)
    maxima = [
        layers.GlobalMaxPooling1D()(layers.Conv1D(3, n, activation="relu")(x)) for n in (2, 3)
    ]
    return keras.Model(words, layers.Dense(2, activation="softmax")(layers.Concatenate()(maxima)))


@model(integers=(0, 5))
def translator():
    """A transformer of an encoder and a decoder, for masked sentences of any length."""
    source = keras.Input((None,), dtype="int32", name="source")
    target = keras.Input((None,), dtype="int32", name="target")
    memory = transformer_block(Positions()(layers.Embedding(6, 8, mask_zero=True)(source)))
    x = transformer_block(Positions()(layers.Embedding(6, 8)(target)), causal=True)
    x = layers.LayerNormalization()(x + layers.MultiHeadAttention(2, 4)(x, memory))
    return keras.Model({"source": source, "target": target}, layers.Dense(6)(x))


@model(integers=(0, 3))
def wide_and_deep():
    """A table's columns: numbers and categories."""
    numbers = keras.Input((5,), name="numbers")
    day, city = (keras.Input((1,), dtype="int32", name=name) for name in ("day", "city"))
    embedded = [layers.Flatten()(layers.Embedding(4, 3)(x)) for x in (day, city)]
    crossed = layers.CategoryEncoding(16, output_mode="one_hot")(day * 4 + city)
    deep = layers.Dense(8, activation="relu")(layers.Concatenate()([numbers, *embedded]))
    x = layers.Dense(1, activation="sigmoid")(layers.Concatenate()([deep, crossed]))
    return keras.Model({"numbers": numbers, "day": day, "city": city}, x)


@model()
def factorization_machine():
    ids = keras.Input((4,), dtype="int32")
    x = layers.Embedding(10, 5)(ids)
    pairs = 0.5 * ops.sum(ops.square(ops.sum(x, 1)) - ops.sum(ops.square(x), 1), axis=-1)
    return keras.Model(ids, ops.sigmoid(pairs))


@model()
def autoencoder():
    image = keras.Input((8, 8, 1))
    code = layers.Dense(3, name="code")(layers.Flatten()(convolution(4, strides=2)(image)))
    x = layers.Reshape((4, 4, 4))(layers.Dense(64, activation="relu")(code))
    x = layers.Conv2DTranspose(1, 3, strides=2, padding="same", activation="sigmoid")(x)
    return keras.Model(image, {"code": code, "image": x})


@model()
def generator_of_images():
    steps = [
        layers.Dense(4 * 4 * 8),
        layers.Reshape((4, 4, 8)),
        layers.BatchNormalization(),
        layers.LeakyReLU(),
        layers.UpSampling2D(),
        layers.Conv2D(3, 5, padding="same", activation="tanh"),
    ]
    return keras.Sequential([keras.Input((6,)), *steps])


@model()
def mixer():
    image = keras.Input((8, 8, 3))
    x = layers.Reshape((4, 12))(layers.Conv2D(12, 4, strides=4)(image))
    mixed = layers.Dense(4, activation="gelu")(layers.Permute((2, 1))(x))
    x = layers.LayerNormalization()(x + layers.Permute((2, 1))(mixed))
    return keras.Model(image, layers.GlobalAveragePooling1D()(x))


@model()
def detector():
    """Boxes and classes of an image's cells, decoded to the best of them."""
    image = keras.Input((16, 16, 3))
    x = convolution(8, strides=4)(image)
    boxes = layers.Reshape((-1, 4))(layers.Conv2D(4, 1)(x))
    scores = layers.Reshape((-1, 3))(layers.Conv2D(3, 1, activation="sigmoid")(x))
    best, places = ops.top_k(ops.max(scores, axis=-1), 5)
    chosen = ops.take_along_axis(boxes, ops.expand_dims(places, -1), axis=1)
    return keras.Model(image, {"boxes": chosen, "scores": best})


@model()
def graph_network():
    """Sends features along the edges of a graph, given as a matrix."""
    nodes, edges = keras.Input((None, 4), name="nodes"), keras.Input((None, None), name="edges")
    x = nodes
    for width in (5, 3):
        x = ops.relu(ops.matmul(edges, layers.Dense(width)(x)))
    return keras.Model([nodes, edges], x)
