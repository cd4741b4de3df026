"""Squeeze-and-excitation and its family, one file each."""

from keras_capsules.attention.squeeze_excitation import SqueezeExcitation

__all__ = ["SqueezeExcitation"]
