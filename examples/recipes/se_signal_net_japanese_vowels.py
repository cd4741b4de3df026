"""Trains a convolutional network with squeeze-and-excitation on JapaneseVowels.

`python -m examples.train --model se_signal_net --dataset japanese_vowels`

The series are taken as they are, and the weights are those after the last epoch, without a
selection. With seed 0 the result is 98.38 % of the 370 test series under TensorFlow.
"""

from examples.recipes._signals import (
    BATCH_SIZE,
    DECODER,
    EPOCHS,
    LEARNING_RATE,
    PREPROCESSING,
    SAMPLES,
    accuracy,
    compile,
    one_hot,
    prepare,
)
from examples.recipes._signals import SPEAKER_NAMES as CLASS_NAMES
from examples.recipes._signals import VOWELS as ARGUMENTS
from keras_capsules import datasets

__all__ = [
    "ARGUMENTS",
    "BATCH_SIZE",
    "CLASS_NAMES",
    "DECODER",
    "EPOCHS",
    "LEARNING_RATE",
    "PREPROCESSING",
    "SAMPLES",
    "accuracy",
    "compile",
    "prepare",
]

data = datasets.japanese_vowels
transform = one_hot(9)
