"""Provides capsule and squeeze-and-excitation layers for Keras 3."""

from keras_capsules.attention import (
    CapsuleSqueezeExcitation,
    ConcurrentSqueezeExcitation,
    ConvBlockAttention,
    CoordinateAttention,
    EffectiveSqueezeExcitation,
    EfficientChannelAttention,
    GatherExcite,
    GlobalContext,
    SelectiveKernel,
    SimAM,
    SpatialSqueezeExcitation,
    SqueezeExcitation,
    StyleRecalibration,
    TripletAttention,
)
from keras_capsules.callbacks import CapsuleHealth, SpreadMarginSchedule
from keras_capsules.heads import add_head
from keras_capsules.initializers import VoteScaling
from keras_capsules.layers import (
    CapsuleLayer,
    CapsuleLength,
    CapsuleMask,
    ConvCapsule1D,
    ConvCapsule1DTranspose,
    ConvCapsule2D,
    ConvCapsule2DTranspose,
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
from keras_capsules.surgery import insert_attention

from . import (  # noqa: F401  Public as `keras_capsules.layers`, but not part of `__all__`.
    attention,
    callbacks,
    datasets,
    distribution,
    explain,
    layers,
    losses,
    metrics,
    models,
    ops,
    routing,
)

__version__ = "0.2.0"

# The submodules are left out, because `import *` would replace `layers` or `ops` from Keras.
__all__ = [
    "CapsuleHealth",
    "CapsuleLayer",
    "CapsuleLength",
    "CapsuleMask",
    "CapsuleSqueezeExcitation",
    "ConcurrentSqueezeExcitation",
    "ConvBlockAttention",
    "ConvCapsule1D",
    "ConvCapsule1DTranspose",
    "ConvCapsule2D",
    "ConvCapsule2DTranspose",
    "CoordinateAttention",
    "CouplingEntropy",
    "CouplingVariance",
    "DeadCapsuleRate",
    "DynamicRouting",
    "EMRouting",
    "EffectiveSqueezeExcitation",
    "EfficientChannelAttention",
    "GatherExcite",
    "GlobalContext",
    "HeinsenRouting",
    "InvertedDotProductRouting",
    "KMeansRouting",
    "LabelAwareAttention",
    "MarginLoss",
    "MultiInterestCapsule",
    "PrimaryCapsule1D",
    "PrimaryCapsule2D",
    "ReconstructionDecoder",
    "Routing",
    "RoutingResult",
    "SelectiveKernel",
    "SelfAttentionRouting",
    "SelfRouting",
    "SimAM",
    "SpatialSqueezeExcitation",
    "SpreadLoss",
    "SpreadMarginSchedule",
    "SqueezeExcitation",
    "SqueezeExcitationRouting",
    "StyleRecalibration",
    "TopKSetAccuracy",
    "TripletAttention",
    "UniformRouting",
    "VariationalBayesRouting",
    "VoteScaling",
    "add_head",
    "capsule_length",
    "create_model",
    "exponential_squash",
    "insert_attention",
    "list_models",
    "squash",
]
