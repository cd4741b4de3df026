"""Capsule and squeeze-and-excitation layers for Keras 3."""

from keras_capsules import attention, layers, losses, models, ops, routing
from keras_capsules.attention import SqueezeExcitation
from keras_capsules.initializers import VoteScaling
from keras_capsules.layers import (
    CapsuleLayer,
    CapsuleLength,
    CapsuleMask,
    PrimaryCapsule2D,
    ReconstructionDecoder,
)
from keras_capsules.losses import MarginLoss
from keras_capsules.models import create_model, list_models
from keras_capsules.ops import capsule_length, squash
from keras_capsules.routing import DynamicRouting, Routing, RoutingResult, UniformRouting

__version__ = "0.1.0"

__all__ = [
    "CapsuleLayer",
    "CapsuleLength",
    "CapsuleMask",
    "DynamicRouting",
    "MarginLoss",
    "PrimaryCapsule2D",
    "ReconstructionDecoder",
    "Routing",
    "RoutingResult",
    "SqueezeExcitation",
    "UniformRouting",
    "VoteScaling",
    "attention",
    "capsule_length",
    "create_model",
    "layers",
    "list_models",
    "losses",
    "models",
    "ops",
    "routing",
    "squash",
]
