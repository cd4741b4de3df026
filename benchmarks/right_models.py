"""Makes models of many kinds for `benchmarks.false_alarms`, of random sizes and weights."""

import itertools
from collections.abc import Callable

import keras
import numpy as np
from keras import layers, ops

import keras_capsules
from keras_capsules import (
    CapsuleLayer,
    CapsuleLength,
    ConvCapsule2D,
    PrimaryCapsule2D,
    SqueezeExcitation,
    attention,
)
from keras_capsules.routing import ROUTINGS
from tests.export.corpus import activations, networks, normalization
from tests.export.corpus.attention import Positions, transformer_block
from tests.export.corpus.networks import convolution, residual
from tests.export.corpus.registry import one_layer

KINDS: dict[str, Callable[[np.random.Generator, int], keras.Model]] = {}
"""Functions of a generator, and of the number of the model among those of its kind."""


def _kind(make):
    KINDS[make.__name__.replace("_", " ")] = make
    return make


def _sequence(*steps):
    return keras.Sequential(list(itertools.chain(*steps)))


def _dense(generator, count, activation="relu"):
    units = generator.integers(8, 65, count)
    return [layers.Dense(int(size), activation=activation) for size in units]


def _vectors(generator):
    return [keras.Input((int(generator.integers(4, 40)),))]


def _cycled(entries, number):
    return list(entries)[number % len(entries)]


@_kind
def perceptrons(generator, number):
    return _sequence(_vectors(generator), _dense(generator, 3), [layers.Dense(5)])


@_kind
def deep_stacks(generator, number):
    steps = _dense(generator, 20 + 5 * (number % 6), _cycled(("tanh", "selu", "relu"), number))
    return _sequence(_vectors(generator), steps, [layers.Dense(5)])


@_kind
def deep_residual_networks(generator, number):
    image = keras.Input((16, 16, 3))
    x = convolution(8)(image)
    for _ in range(4 + number % 5):
        x = residual(x, 8, 1)
    x = layers.GlobalAveragePooling2D()(residual(x, 16, 2))
    return keras.Model(image, layers.Dense(5, activation="softmax")(x))


def _last_scaled(model, factor):
    last = model.layers[-1]
    last.set_weights([factor * weight for weight in last.get_weights()])
    return model


@_kind
def small_outputs(generator, number):
    model = perceptrons(generator, number)
    return _last_scaled(model, _cycled((1e-8, 1e-6, 1e-4), number))


@_kind
def large_outputs(generator, number):
    model = perceptrons(generator, number)
    return _last_scaled(model, _cycled((1e6, 1e4, 1e8), number))


@_kind
def saturated_softmaxes(generator, number):
    model = _sequence(_vectors(generator), _dense(generator, 2), [layers.Dense(10)])
    _last_scaled(model, _cycled((30, 100, 1000), number))
    return keras.Model(model.inputs, layers.Softmax()(model.outputs[0]))


@_kind
def u_nets(generator, number):
    image = x = keras.Input((*(16 * generator.integers(1, 4, 2)).tolist(), 3))
    skips = []
    for filters in (4, 8, 16)[: 2 + number % 2]:
        x = convolution(filters)(convolution(filters)(x))
        skips.append(x)
        x = layers.MaxPooling2D()(x)
    x = convolution(24)(x)
    for skip in reversed(skips):
        x = layers.Conv2DTranspose(skip.shape[-1], 3, strides=2, padding="same")(x)
        x = convolution(skip.shape[-1])(layers.Concatenate()([x, skip]))
    return keras.Model(image, layers.Conv2D(1, 1, activation="sigmoid")(x))


@_kind
def separable_convolutions(generator, number):
    image = x = keras.Input((20, 20, 3))
    for filters in generator.integers(4, 24, 3).tolist():
        x = layers.SeparableConv2D(filters, 3, padding="same", use_bias=False)(x)
        x = layers.ReLU(6.0)(layers.BatchNormalization()(x))
        x = layers.DepthwiseConv2D(3, 2 - number % 2, padding="same")(x)
    return keras.Model(image, layers.Dense(4)(layers.GlobalMaxPooling2D()(x)))


@_kind
def recurrent_layers(generator, number):
    kinds = _cycled(
        list(itertools.product((layers.LSTM, layers.GRU, layers.SimpleRNN), repeat=2)), number
    )
    steps = keras.Input((int(generator.integers(4, 13)), 6))
    first = layers.Bidirectional(kinds[0](12, return_sequences=True))
    return _sequence([steps, first, kinds[1](10), layers.Dense(3, activation="softmax")])


@_kind
def recurrent_layers_of_words(generator, number):
    words = keras.Input((None if number % 2 else 9,), dtype="int32")
    rows = int(generator.integers(50, 3000))
    x = layers.Embedding(rows, 8, mask_zero=number % 3 > 0)(words)
    x = layers.GRU(12)(layers.LSTM(10, return_sequences=True)(x))
    return keras.Model(words, layers.Dense(2)(x))


@_kind
def capsules_of_images(generator, number):
    routing = _cycled(sorted(ROUTINGS), number)
    image = keras.Input((14, 14, 1))
    x = layers.Conv2D(16, 5, activation="relu")(image)
    explicit = ROUTINGS[routing].explicit_activations
    x = PrimaryCapsule2D(4, 8, 3, strides=2, explicit_activations=explicit)(x)
    x = CapsuleLayer(5, 8, routing=routing)(x)
    scores = x[1] if explicit else CapsuleLength()(x)
    return keras.Model(image, scores)


@_kind
def convolutional_capsules(generator, number):
    routing = _cycled(sorted(ROUTINGS), number)
    image = keras.Input((12, 12, 1))
    explicit = ROUTINGS[routing].explicit_activations
    x = layers.Conv2D(8, 3, activation="relu")(image)
    x = PrimaryCapsule2D(4, 4, 3, strides=2, explicit_activations=explicit)(x)
    x = ConvCapsule2D(4, 4, 3, routing=routing)(x)
    x = CapsuleLayer(3, 4, routing=routing)(x)
    return keras.Model(image, x[1] if explicit else CapsuleLength()(x))


@_kind
def the_zoo(generator, number):
    name = _cycled(keras_capsules.list_models(task="images"), number)
    size = 24 if name in ("deepcaps", "efficient_capsnet") else 16
    options = {"size": "tiny", "input_shape": (size, size, 1), "num_classes": 4}
    return keras_capsules.create_model(name, **options)


@_kind
def attention_of_channels(generator, number):
    gate = _cycled(attention.ATTENTIONS.values(), number)
    image = keras.Input((12, 12, 3))
    x = gate()(layers.Conv2D(16, 3, activation="relu")(image))
    return keras.Model(image, layers.Dense(4)(layers.GlobalAveragePooling2D()(x)))


@_kind
def transformers(generator, number):
    x = inputs = keras.Input((None if number % 2 else 9, 8))
    for _ in range(1 + number % 4):
        x = transformer_block(x, causal=number % 3 == 0)
    return keras.Model(inputs, layers.Dense(3)(layers.GlobalAveragePooling1D()(x)))


@_kind
def language_models(generator, number):
    words = keras.Input((None,), dtype="int32")
    x = Positions()(layers.Embedding(int(generator.integers(20, 400)), 16)(words))
    x = transformer_block(transformer_block(x, causal=True), causal=True)
    return keras.Model(words, layers.Dense(20, activation="softmax")(x))


@_kind
def normalizations(generator, number):
    return one_layer(_cycled(normalization.LAYERS.values(), number))


@_kind
def activation_functions(generator, number):
    names = [name for name in activations.NAMES if name != "glu"]  # It halves its inputs.
    name = _cycled(names, number)
    return _sequence(_vectors(generator), _dense(generator, 2, name), [layers.Dense(3)])


@_kind
def preprocessed_pixels(generator, number):
    scaling = layers.Rescaling(1 / 255 if number % 2 else 1 / 127.5, offset=-(1.0 - number % 2))
    normal = layers.Normalization(mean=[120.0, 110.0, 100.0], variance=[4000.0, 3000.0, 10.0])
    steps = convolution(8, strides=2), layers.Flatten(), layers.Dense(3, activation="softmax")
    return _sequence([keras.Input((12, 12, 3)), normal if number % 3 else scaling, *steps])


@_kind
def tables_of_numbers_and_categories(generator, number):
    numbers = keras.Input((6,), name="numbers")
    day, city = (keras.Input((1,), dtype="int32", name=name) for name in ("day", "city"))
    embedded = [layers.Flatten()(layers.Embedding(300, 5)(x)) for x in (day, city)]
    crossed = layers.CategoryEncoding(40, output_mode=_cycled(("one_hot", "multi_hot"), number))
    x = layers.Concatenate()([numbers, *embedded, crossed((day * 7 + city) % 40)])
    return keras.Model([numbers, day, city], layers.Dense(1)(layers.Dense(16, "relu")(x)))


@_kind
def open_sizes(generator, number):
    return _cycled(
        (lambda: networks.u_net(None), networks.wavenet, networks.graph_network), number
    )()


@_kind
def several_outputs(generator, number):
    if number % 2:
        return networks.detector()
    return networks.autoencoder()


@_kind
def generators_of_images(generator, number):
    return networks.generator_of_images()


@_kind
def squeeze_and_excitation(generator, number):
    image = x = keras.Input((None, None, 3) if number % 3 == 0 else (18, 15, 3))
    for filters in (8 * generator.integers(1, 4, 2)).tolist():
        x = SqueezeExcitation(reduction_ratio=4)(convolution(filters)(x))
    return keras.Model(image, layers.Dense(6, activation="sigmoid")(layers.GlobalMaxPooling2D()(x)))


@_kind
def cancellations(generator, number):
    """Small differences of large numbers, and distances."""
    x = keras.Input((8, 6))
    far = layers.Dense(16)(x) + 100.0 * (1 + number % 3)
    centred = far - ops.mean(far, axis=-1, keepdims=True)
    squares = ops.sum(ops.square(far), axis=-1)
    products = ops.matmul(far, ops.swapaxes(far, 1, 2))
    distances = (squares[:, :, None] - 2 * products) + squares[:, None]
    return keras.Model(x, [centred, distances] if number % 2 else centred)


@_kind
def decisions(generator, number):
    """Outputs that jump: sorting, the largest, and what lies above a bound."""
    x = keras.Input((10,))
    y = layers.Dense(12)(x)
    chosen = [
        lambda: ops.argmax(y, axis=-1),
        lambda: ops.sort(y),
        lambda: list(ops.top_k(y, 3)),
        lambda: ops.where(y > 0.1, y, 1.0),
        lambda: ops.round(y * 10),
        lambda: ops.one_hot(ops.argmax(y, axis=-1), 12),
    ]
    return keras.Model(x, _cycled(chosen, number)())
