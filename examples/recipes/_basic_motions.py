"""Provides what the recipes for BasicMotions share."""

from examples.recipes._signals import *  # noqa: F403
from examples.recipes._signals import one_hot
from keras_capsules import datasets

ARGUMENTS = {"input_shape": (100, 6), "num_classes": 4}
CLASS_NAMES = ["standing", "running", "walking", "badminton"]

data = datasets.basic_motions
transform = one_hot(4)
