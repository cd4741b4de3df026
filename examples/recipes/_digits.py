"""Provides functions that the recipes for handwritten digits share."""

import keras
import numpy as np

import keras_capsules
from keras_capsules import datasets

CLASS_NAMES = [str(digit) for digit in range(10)]
PREPROCESSING = {"input_range": [0.0, 1.0]}


def prepare(images):
    """Prepares uint8 digits for the model."""
    return images.astype("float32") / 255


def disturb(images, generator):
    """Prepares uint8 digits that are turned, scaled, sheared, shifted and partly erased."""
    images = datasets.random_affine(
        prepare(images), generator, rotation=20, scale=(0.85, 1.15), shear=0.15, shift=2.5
    )
    return datasets.random_erasing(images, generator)


def compile_with_decoder(model: keras.Model, schedule, metric="accuracy") -> None:
    """Compiles a capsule network and its decoder with a schedule of the learning rate."""
    model.compile(
        keras.optimizers.Adam(schedule),
        loss={"scores": keras_capsules.MarginLoss(), "reconstruction": "mse"},
        loss_weights={"scores": 1.0, "reconstruction": 0.392},
        metrics={"scores": [metric]},
    )


def transform_with_decoder(images, labels, generator):
    """Returns a batch for a capsule network and its decoder, from uint8 digits and integers."""
    images = disturb(images, generator)
    labels = keras.utils.to_categorical(labels, 10)
    return {"image": images, "label": labels}, {"scores": labels, "reconstruction": images}


def accuracy(model: keras.Model, images, labels) -> float:
    """Returns the share of uint8 digits with the highest score for the right class."""
    return float(np.mean(scores(model, images).argmax(axis=1) == labels))


def scores(model: keras.Model, images):
    """Returns a model's scores of uint8 digits, with or without a decoder."""
    image, output = model.get_layer("image").output, model.get_layer("scores").output
    return keras.Model(image, output).predict(prepare(images), batch_size=256, verbose=0)
