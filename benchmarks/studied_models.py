"""Trains the ten models of `benchmarks.mutations` for a moment, with real inputs for most.

The real inputs come from MNIST and from the sets that scikit-learn includes.
"""

from collections.abc import Callable

import keras
import numpy as np
from keras import layers

import keras_capsules
from keras_capsules import CapsuleLayer, CapsuleLength, PrimaryCapsule2D, SqueezeExcitation
from keras_capsules.datasets import digits, mnist

Studied = tuple[keras.Model, np.ndarray | None]

MODELS: dict[str, Callable[[], Studied]] = {}


def build(name: str) -> Studied:
    """Returns a model, the same each time, and its real inputs or `None`."""
    keras.utils.set_random_seed(0)
    return MODELS[name]()


def studied(make):
    MODELS[make.__name__] = make
    return make


def trained(model, x, y, loss, epochs=4):
    model.compile(keras.optimizers.Adam(3e-3), loss)
    model.fit(x, y, batch_size=64, epochs=epochs, verbose=0)
    return model


def classifier(x, y, *steps, epochs=4):
    """Returns a trained sequence of layers that ends with a softmax, and its inputs."""
    last = layers.Dense(int(y.max()) + 1, activation="softmax", name="scores")
    model = keras.Sequential([keras.Input(x.shape[1:], name="x"), *steps, last])
    return trained(model, x, y, "sparse_categorical_crossentropy", epochs), x


def standardized(name):
    import sklearn.datasets

    x, y = getattr(sklearn.datasets, f"load_{name}")(return_X_y=True)
    return ((x - x.mean(axis=0)) / x.std(axis=0)).astype("float32"), y


def small_digits():
    (images, labels), _ = digits()
    return (images / 255).astype("float32"), labels


@studied
def perceptron() -> Studied:
    steps = layers.Dense(64, activation="relu"), layers.Dense(64, activation="relu")
    return classifier(*standardized("wine"), *steps, epochs=20)


@studied
def leaky() -> Studied:
    steps = layers.Dense(32), layers.LeakyReLU(0.3), layers.Dense(16), layers.LeakyReLU(0.1)
    return classifier(*standardized("breast_cancer"), *steps, epochs=10)


@studied
def small_regression() -> Studied:
    """The outputs are about 1e-4."""
    x, y = standardized("diabetes")
    steps = layers.Dense(32, activation="tanh"), layers.Dense(16, activation="elu")
    model = keras.Sequential([keras.Input((10,), name="x"), *steps, layers.Dense(1)])
    trained(model, x, (y - y.mean()) / y.std(), "mse", epochs=10)
    model.layers[-1].set_weights([1e-4 * weight for weight in model.layers[-1].get_weights()])
    return model, x


@studied
def convolutions() -> Studied:
    def block(filters):
        convolution = layers.Conv2D(filters, 3, padding="same", use_bias=False)
        return convolution, layers.BatchNormalization(), layers.ReLU()

    pooling = layers.MaxPooling2D(), layers.GlobalAveragePooling2D()
    return classifier(*small_digits(), *block(16), pooling[0], *block(24), pooling[1])


@studied
def separable() -> Studied:
    def block(filters, strides):
        yield layers.DepthwiseConv2D(3, strides, padding="same", use_bias=False)
        yield from (layers.BatchNormalization(), layers.ReLU(6.0))
        yield layers.Conv2D(filters, 1, use_bias=False)
        yield from (layers.BatchNormalization(), layers.ReLU(6.0))

    images, labels = small_digits()
    stem = layers.Conv2D(8, 3, padding="same", activation="relu6")
    steps = stem, *block(16, 2), *block(24, 1), layers.GlobalAveragePooling2D()
    return classifier(images.repeat(2, axis=1).repeat(2, axis=2), labels, *steps)


@studied
def gated() -> Studied:
    """Has squeeze-and-excitation blocks."""

    def block(filters):
        yield layers.Conv2D(filters, 3, padding="same", activation="relu")
        yield SqueezeExcitation(reduction_ratio=4)

    steps = *block(16), layers.MaxPooling2D(), *block(24), layers.GlobalAveragePooling2D()
    return classifier(*small_digits(), *steps)


@studied
def recurrent() -> Studied:
    images, labels = small_digits()
    steps = layers.GRU(16, return_sequences=True), layers.LSTM(16)
    return classifier(images[..., 0], labels, *steps)


@studied
def text() -> Studied:
    """Reads words that nobody wrote: a class is more frequent words of one kind."""
    generator = np.random.default_rng(0)
    labels = generator.integers(0, 3, 512)
    words = generator.integers(0, 166, (512, 20)) * 3 + generator.binomial(1, 0.2, (512, 20))
    x = keras.Input((20,), dtype="int32", name="words")
    y = layers.GlobalAveragePooling1D()(layers.Embedding(500, 16)(x))
    y = layers.Dense(3, activation="softmax")(layers.Dense(16, activation="relu")(y))
    words = (words + labels[:, None]) % 500
    return trained(keras.Model(x, y), words, labels, "sparse_categorical_crossentropy"), None


@studied
def capsules() -> Studied:
    """Dynamic routing."""
    images, labels = small_digits()
    image = keras.Input((8, 8, 1), name="image")
    x = PrimaryCapsule2D(4, 8, 3)(layers.Conv2D(16, 3, activation="relu")(image))
    x = CapsuleLength(name="scores")(CapsuleLayer(10, 8)(x))
    loss = keras_capsules.MarginLoss()
    labels = keras.utils.to_categorical(labels)
    return trained(keras.Model(image, x), images, labels, loss), images


@studied
def efficient_capsnet() -> Studied:
    """The weights are shipped."""
    _, (images, _) = mnist()
    model = keras_capsules.create_model("efficient_capsnet", weights="mnist")
    return model, (images[:256] / 255).astype("float32")
