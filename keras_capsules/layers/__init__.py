"""Provides the layers of capsules, one file for each."""

from keras_capsules.layers.capsule_layer import CapsuleLayer
from keras_capsules.layers.capsule_length import CapsuleLength
from keras_capsules.layers.capsule_mask import CapsuleMask
from keras_capsules.layers.conv_capsule import ConvCapsule1D, ConvCapsule2D
from keras_capsules.layers.conv_capsule_transpose import (
    ConvCapsule1DTranspose,
    ConvCapsule2DTranspose,
)
from keras_capsules.layers.label_aware_attention import LabelAwareAttention
from keras_capsules.layers.multi_interest_capsule import MultiInterestCapsule
from keras_capsules.layers.primary_capsule import PrimaryCapsule1D, PrimaryCapsule2D
from keras_capsules.layers.reconstruction_decoder import ReconstructionDecoder

__all__ = [
    "CapsuleLayer",
    "CapsuleLength",
    "CapsuleMask",
    "ConvCapsule1D",
    "ConvCapsule1DTranspose",
    "ConvCapsule2D",
    "ConvCapsule2DTranspose",
    "PrimaryCapsule1D",
    "LabelAwareAttention",
    "MultiInterestCapsule",
    "PrimaryCapsule2D",
    "ReconstructionDecoder",
]
