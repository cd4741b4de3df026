"""Provides callbacks that change or watch training between the epochs of `model.fit`."""

from keras_capsules.callbacks.capsule_health import CapsuleHealth
from keras_capsules.callbacks.spread_margin_schedule import SpreadMarginSchedule

__all__ = ["CapsuleHealth", "SpreadMarginSchedule"]
