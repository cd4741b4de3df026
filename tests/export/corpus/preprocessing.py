"""Layers that prepare data, and those that only training uses."""

import keras
import numpy as np
from keras import layers

from tests.export.corpus.registry import model, one_layer

IMAGE = (12, 10, 3)


@model(("one_hot", "multi_hot", "count"), integers=(0, 4))
def categories(mode):
    size = () if mode == "one_hot" else (6,)
    x = keras.Input(size, dtype="int32")
    return keras.Model(x, layers.CategoryEncoding(5, output_mode=mode)(x))


@model(integers=(0, 4))
def categories_with_weights():
    x, weights = keras.Input((6,), dtype="int32", name="x"), keras.Input((6,), name="weights")
    layer = layers.CategoryEncoding(5, output_mode="count")
    return keras.Model([x, weights], layer(x, count_weights=weights))


BINS = {"bin_boundaries": [-1.0, 0.0, 1.0]}
LAYERS = {
    "rescaling": (IMAGE, layers.Rescaling, {"scale": 1 / 127.5, "offset": -1}),
    "normalization": ((3,), layers.Normalization, {"mean": [1, 2, 3], "variance": [1, 4, 9]}),
    "normalization_inverted": ((3,), layers.Normalization, {"mean": 1, "variance": 4, "invert": 1}),
    "discretization": ((4,), layers.Discretization, BINS),
    "discretization_one_hot": ((1,), layers.Discretization, BINS | {"output_mode": "one_hot"}),
    "center_crop": (IMAGE, layers.CenterCrop, {"height": 7, "width": 6}),
    "center_crop_larger": (IMAGE, layers.CenterCrop, {"height": 16, "width": 14}),
    "stft_spectrogram": ((512, 1), layers.STFTSpectrogram, {"frame_length": 64}),
}


@model(refused=("UnsupportedOperationError", "matrices of cosines and sines"))
def mel_spectrogram():
    x = keras.Input((512,), name="x")
    return keras.Model(x, layers.MelSpectrogram(fft_length=128, num_mel_bins=16)(x))


@model(LAYERS)
def layer(arguments):
    return one_layer(arguments)


@model()
def normalization_adapted():
    layer = layers.Normalization()
    layer.adapt(np.random.default_rng(0).normal(3.0, 2.0, (64, 5)))
    return keras.Sequential([keras.Input((5,)), layer, layers.Dense(2)])


@model(integers=(0, 255))
def pixels():
    """Pictures as cameras give them."""
    steps = [layers.Rescaling(1 / 255), layers.Conv2D(4, 3)]
    return keras.Sequential([keras.Input((8, 8, 3), dtype="uint8"), *steps])


RESIZED = {
    "smaller": {"height": 6, "width": 5},
    "larger": {"height": 24, "width": 15},
    "nearest": {"height": 24, "width": 20, "interpolation": "nearest"},
    "bicubic": {"height": 24, "width": 20, "interpolation": "bicubic"},
    "cropped": {"height": 8, "width": 8, "crop_to_aspect_ratio": True},
    "padded": {"height": 8, "width": 8, "pad_to_aspect_ratio": True},
}


@model(RESIZED)
def resizing(options):
    return one_layer((IMAGE, layers.Resizing, options))


RANDOM = {
    "flip": (layers.RandomFlip, {}),
    "rotation": (layers.RandomRotation, {"factor": 0.2}),
    "zoom": (layers.RandomZoom, {"height_factor": 0.2}),
    "translation": (layers.RandomTranslation, {"height_factor": 0.2, "width_factor": 0.2}),
    "contrast": (layers.RandomContrast, {"factor": 0.2}),
    "brightness": (layers.RandomBrightness, {"factor": 0.2}),
    "crop": (layers.RandomCrop, {"height": 8, "width": 8}),
    "noise": (layers.GaussianNoise, {"stddev": 0.1}),
    "dropout": (layers.SpatialDropout2D, {"rate": 0.5}),
}


@model(RANDOM)
def only_in_training(arguments):
    kind, options = arguments
    augment = kind(**options)
    return keras.Sequential([keras.Input((12, 12, 3)), augment, layers.Conv2D(2, 3)])


TABLES = {
    "string_lookup": (layers.StringLookup, {"vocabulary": ["ant", "bee"]}),
    "string_hashing": (layers.Hashing, {"num_bins": 4}),
    "text_vectorization": (layers.TextVectorization, {"vocabulary": ["ant", "bee"]}),
}


@model(TABLES, refused=("ConversionError", "takes text", "numbers before the model"))
def text(arguments):
    kind, options = arguments
    size = (1,) if kind is layers.TextVectorization else (3,)
    words = keras.Input(size, dtype="string")
    return keras.Model(words, kind(**options)(words))


INTEGER_TABLES = {
    "hashing": (layers.Hashing, {"num_bins": 4}),
    "lookup": (layers.IntegerLookup, {"vocabulary": [3, 5, 8]}),
}


@model(refused=("UnsupportedOperationError", "before the model"))
def integers_crossed():
    first, second = (keras.Input((1,), dtype="int64", name=name) for name in ("first", "second"))
    return keras.Model([first, second], layers.HashedCrossing(5)((first, second)))


@model(INTEGER_TABLES, refused=("UnsupportedOperationError", "before the model"))
def integers(arguments):
    kind, options = arguments
    x = keras.Input((3,), dtype="int64")
    return keras.Model(x, kind(**options)(x))
