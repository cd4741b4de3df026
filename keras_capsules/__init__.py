"""Capsule and squeeze-and-excitation layers for Keras 3."""

from keras_capsules import attention, callbacks, layers, losses, metrics, models, ops, routing
from keras_capsules.attention import SqueezeExcitation
from keras_capsules.callbacks import SpreadMarginSchedule
from keras_capsules.initializers import VoteScaling
from keras_capsules.layers import (
    CapsuleLayer,
    CapsuleLength,
    CapsuleMask,
    ConvCapsule1D,
    ConvCapsule2D,
    LabelAwareAttention,
    MultiInterestCapsule,
    PrimaryCapsule1D,
    PrimaryCapsule2D,
    ReconstructionDecoder,
)
from keras_capsules.losses import MarginLoss, SpreadLoss
from keras_capsules.metrics import (
    CouplingEntropy,
    CouplingVariance,
    DeadCapsuleRate,
    TopKSetAccuracy,
)
from keras_capsules.models import create_model, list_models
from keras_capsules.ops import capsule_length, exponential_squash, squash
from keras_capsules.routing import (
    DynamicRouting,
    EMRouting,
    HeinsenRouting,
    InvertedDotProductRouting,
    KMeansRouting,
    Routing,
    RoutingResult,
    SelfAttentionRouting,
    SelfRouting,
    SqueezeExcitationRouting,
    UniformRouting,
    VariationalBayesRouting,
)

__version__ = "0.1.0"

__all__ = [
    "CapsuleLayer",
    "CapsuleLength",
    "CapsuleMask",
    "ConvCapsule1D",
    "ConvCapsule2D",
    "CouplingEntropy",
    "CouplingVariance",
    "DeadCapsuleRate",
    "DynamicRouting",
    "EMRouting",
    "HeinsenRouting",
    "InvertedDotProductRouting",
    "KMeansRouting",
    "LabelAwareAttention",
    "MarginLoss",
    "PrimaryCapsule1D",
    "MultiInterestCapsule",
    "PrimaryCapsule2D",
    "ReconstructionDecoder",
    "Routing",
    "RoutingResult",
    "SelfAttentionRouting",
    "SelfRouting",
    "SpreadLoss",
    "SpreadMarginSchedule",
    "SqueezeExcitation",
    "SqueezeExcitationRouting",
    "TopKSetAccuracy",
    "UniformRouting",
    "VariationalBayesRouting",
    "VoteScaling",
    "attention",
    "callbacks",
    "capsule_length",
    "create_model",
    "exponential_squash",
    "layers",
    "list_models",
    "losses",
    "metrics",
    "models",
    "ops",
    "routing",
    "squash",
]
