"""Provides images and signals for training and tests as NumPy arrays, the same for everyone.

A dataset's file is read from the folder that the environment variable `KERAS_CAPSULES_DATA` names,
or else from Keras' cache. Otherwise Keras or pip downloads it where it can.
"""

from keras_capsules.datasets.affnist import affnist
from keras_capsules.datasets.augmentation import ImageBatches, random_affine, random_erasing
from keras_capsules.datasets.cifar10 import cifar10
from keras_capsules.datasets.digits import digits
from keras_capsules.datasets.image_folder import ImageFolder, image_folder
from keras_capsules.datasets.mnist import mnist
from keras_capsules.datasets.multi_mnist import multi_mnist, overlap
from keras_capsules.datasets.series import basic_motions, gun_point, japanese_vowels
from keras_capsules.datasets.shapes import shapes
from keras_capsules.datasets.small_norb import small_norb

__all__ = [
    "ImageBatches",
    "ImageFolder",
    "affnist",
    "basic_motions",
    "cifar10",
    "digits",
    "gun_point",
    "image_folder",
    "japanese_vowels",
    "mnist",
    "multi_mnist",
    "overlap",
    "random_affine",
    "random_erasing",
    "shapes",
    "small_norb",
]
