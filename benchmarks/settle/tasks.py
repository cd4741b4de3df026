"""The tasks: what a network is trained and tested on."""

import functools
from collections.abc import Callable
from typing import NamedTuple

import keras
import numpy as np

from benchmarks.settle.heads import CLASSES, HEADS, VARIANTS
from keras_capsules import datasets
from keras_capsules.datasets.affnist import shifted as anywhere
from keras_capsules.datasets.augmentation import random_affine
from keras_capsules.datasets.multi_mnist import overlap

HELD_OUT = 5000
TINY = 200


class Data(NamedTuple):
    """Pixels from 0 to 255 to train on, and images in [0, 1] to fit a temperature and to test."""

    train: tuple[np.ndarray, np.ndarray]
    held_out: tuple[np.ndarray, np.ndarray]
    test: tuple[np.ndarray, np.ndarray]


class Task(NamedTuple):
    """A protocol.

    Attributes:
        load: Function that returns `Data`.
        batch: Function from pixels, labels and a generator to images and labels.
        epochs: Integer.
        images: Integer or `None`. Training images, chosen by the seed.
        losses: Names of losses.
        heads: Names of heads.
        digits: Whether each image shows one digit.
        target: Float or `None`. Share of held-out images read right at which the training ends.
    """

    load: Callable
    batch: Callable
    epochs: int
    images: int | None = None
    losses: tuple = ("margin",)
    heads: tuple = HEADS
    digits: bool = True
    target: float | None = None

    def training(self, data: Data, seed: int) -> tuple[np.ndarray, np.ndarray]:
        images, labels = data.train
        if self.images is None:
            return images, labels
        chosen = np.random.default_rng(seed).permutation(len(images))[: self.images]
        return images[chosen], labels[chosen]


def shape_of(data: Data) -> tuple[int, ...]:
    return data.test[0].shape[1:]


def tiny(data: Data) -> Data:
    """Returns so few images that a test can run on them."""
    return Data(*((images[:TINY], labels[:TINY]) for images, labels in data))


@functools.cache
def mnist() -> Data:
    return _split(*datasets.mnist())


@functools.cache
def cifar10() -> Data:
    return _split(*datasets.cifar10())


@functools.cache
def pairs() -> Data:
    digits, (test_images, test_labels) = datasets.mnist(), datasets.multi_mnist()[1]
    images, labels = digits[0]
    train, rest = slice(-HELD_OUT), slice(-HELD_OUT, None)
    held_out, _, held_labels = overlap(images[rest], labels[rest], np.random.default_rng(1))
    return Data(
        (images[train], labels[train]),
        (_scaled(held_out), held_labels),
        (_scaled(test_images), test_labels),
    )


@functools.cache
def affnist() -> Data:
    """Returns digits, shifted ones to stop at, and affNIST's to be tested on."""
    (images, labels), _ = datasets.mnist()
    _, (test_images, test_labels) = datasets.affnist()
    held_out = anywhere(images[-HELD_OUT:], np.random.default_rng(2))
    return Data(
        (images[:-HELD_OUT], labels[:-HELD_OUT]),
        (_scaled(held_out), labels[-HELD_OUT:]),
        (_scaled(test_images), test_labels),
    )


def shifted(limit: int, mirrored: bool = False):
    """Returns the function that shifts each image by up to so many pixels."""

    def batch(pixels, labels, generator):
        height, width = pixels.shape[1:3]
        border = (limit, limit)
        padded = np.pad(pixels, ((0, 0), border, border, (0, 0)))
        corners = generator.integers(2 * limit + 1, size=(len(pixels), 2, 1))
        rows, columns = corners[:, 0] + np.arange(height), corners[:, 1] + np.arange(width)
        moved = padded[np.arange(len(pixels))[:, None, None], rows[:, :, None], columns[:, None]]
        if mirrored:
            chosen = generator.random(len(moved)) < 0.5
            moved[chosen] = moved[chosen, :, ::-1]
        return _scaled(moved), one_hot(labels)

    return batch


def on_a_canvas(pixels, labels, generator):
    return _scaled(anywhere(pixels, generator)), one_hot(labels)


def turned(pixels, labels, generator):
    return random_affine(_scaled(pixels), generator, rotation=20), one_hot(labels)


def paired(pixels, labels, generator):
    images, _, both = overlap(pixels, labels, generator)
    return _scaled(images), one_hot(both).sum(axis=1)


def one_hot(labels) -> np.ndarray:
    return keras.utils.to_categorical(labels, CLASSES)


def _split(train, test) -> Data:
    images, labels = train
    held_out = _scaled(images[-HELD_OUT:]), labels[-HELD_OUT:]
    return Data((images[:-HELD_OUT], labels[:-HELD_OUT]), held_out, (_scaled(test[0]), test[1]))


def _scaled(pixels):
    return pixels.astype("float32") / 255


TASKS = {
    "mnist": Task(mnist, shifted(2), 4, losses=("margin", "cross_entropy")),
    "mnist_5000": Task(mnist, shifted(2), 15, images=5000, heads=HEADS + VARIANTS),
    "mnist_500": Task(mnist, shifted(2), 60, images=500),
    "turned": Task(mnist, turned, 3),
    "affnist": Task(affnist, on_a_canvas, 12, digits=False, target=0.98),
    "pairs": Task(pairs, paired, 6, digits=False),
    "cifar10": Task(cifar10, shifted(4, mirrored=True), 10),
}
