"""Provides what the recipes for signals share."""

import keras
import numpy as np

from keras_capsules.models import default_loss

SAMPLES = "series"
DECODER = {}
PREPROCESSING = None  # A batch normalization in the model brings the channels to one scale.
EPOCHS = 60
BATCH_SIZE = 16
LEARNING_RATE = 2e-3


def compile(model: keras.Model, schedule) -> None:
    """Compiles a network with its loss and a schedule of the learning rate."""
    model.compile(keras.optimizers.Adam(schedule), default_loss(model.name), metrics=["accuracy"])


def prepare(series):
    """Returns the series as they are."""
    return series


def one_hot(classes):
    """Returns a function that makes a batch, for a number of classes."""
    return lambda series, labels, generator: (series, keras.utils.to_categorical(labels, classes))


def accuracy(model: keras.Model, series, labels) -> float:
    """Returns the share of series with the highest score for the right class."""
    return float(np.mean(model.predict(series, verbose=0).argmax(axis=1) == labels))
