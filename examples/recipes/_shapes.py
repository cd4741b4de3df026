"""Provides what the recipes for pictures of shapes share."""

import keras
import numpy as np

from keras_capsules import datasets
from keras_capsules.datasets.shapes import CLASSES
from keras_capsules.models import default_loss

SIZE, TRAIN, TEST = 32, 1024, 500
ARGUMENTS = {"input_shape": (SIZE, SIZE, 1), "num_classes": len(CLASSES)}
DECODER = {}
CLASS_NAMES = list(CLASSES)
PREPROCESSING = {"input_range": [0.0, 1.0]}
SAMPLES = "pictures"
METRIC = "mean Dice of the objects"
EPOCHS = 20
BATCH_SIZE = 16
LEARNING_RATE = 1e-3


def data(rotation: float = 0.0):
    """Returns the pictures and their masks, the objects of the test turned by up to so much."""
    return datasets.shapes(SIZE, TRAIN, TEST, rotation)


def compile(model: keras.Model, schedule) -> None:
    """Compiles a network with its loss and a schedule of the learning rate."""
    model.compile(keras.optimizers.Adam(schedule), default_loss(model.name))


def transform(images, masks, generator):
    """Returns inputs and one-hot maps for a batch of uint8 pictures and masks of class numbers."""
    return prepare(images), np.eye(len(CLASSES), dtype="float32")[masks]


def prepare(images):
    """Prepares uint8 pictures for the model."""
    return images.astype("float32") / 255


def accuracy(model: keras.Model, images, masks) -> float:
    """Returns the mean over the classes of objects of their Dice in all pictures together.

    `2 * |found and true| / (|found| + |true|)`, counted in pixels.
    """
    return dice(model.predict(prepare(images), batch_size=50, verbose=0).argmax(axis=-1), masks)


def dice(found, masks) -> float:
    """Returns the mean Dice of the classes after the background, see `accuracy`."""
    objects = range(1, len(CLASSES))
    both = [np.sum((found == number) & (masks == number)) for number in objects]
    either = [np.sum(found == number) + np.sum(masks == number) for number in objects]
    return float(np.mean(2 * np.array(both) / either))
