"""Layers of capsules, one file each."""

from keras_capsules.layers.capsule_layer import CapsuleLayer
from keras_capsules.layers.capsule_length import CapsuleLength
from keras_capsules.layers.capsule_mask import CapsuleMask
from keras_capsules.layers.primary_capsule import PrimaryCapsule2D
from keras_capsules.layers.reconstruction_decoder import ReconstructionDecoder

__all__ = [
    "CapsuleLayer",
    "CapsuleLength",
    "CapsuleMask",
    "PrimaryCapsule2D",
    "ReconstructionDecoder",
]
