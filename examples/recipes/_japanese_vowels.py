"""Provides what the recipes for JapaneseVowels share."""

from examples.recipes._signals import *  # noqa: F403
from examples.recipes._signals import one_hot
from keras_capsules import datasets

ARGUMENTS = {"input_shape": (None, 12), "num_classes": 9, "mask_value": 0.0}
CLASS_NAMES = [f"speaker {number}" for number in range(1, 10)]

data = datasets.japanese_vowels
transform = one_hot(9)
