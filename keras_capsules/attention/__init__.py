"""Collects squeeze-and-excitation and its family, one file each, under their short names."""

from typing import Any

import keras

from keras_capsules._lookup import resolve
from keras_capsules.attention.capsule_squeeze_excitation import CapsuleSqueezeExcitation
from keras_capsules.attention.concurrent_squeeze_excitation import ConcurrentSqueezeExcitation
from keras_capsules.attention.conv_block_attention import ConvBlockAttention
from keras_capsules.attention.coordinate_attention import CoordinateAttention
from keras_capsules.attention.effective_squeeze_excitation import EffectiveSqueezeExcitation
from keras_capsules.attention.efficient_channel_attention import EfficientChannelAttention
from keras_capsules.attention.gather_excite import GatherExcite
from keras_capsules.attention.global_context import GlobalContext
from keras_capsules.attention.selective_kernel import SelectiveKernel
from keras_capsules.attention.simam import SimAM
from keras_capsules.attention.spatial_squeeze_excitation import SpatialSqueezeExcitation
from keras_capsules.attention.squeeze_excitation import SqueezeExcitation
from keras_capsules.attention.style_recalibration import StyleRecalibration
from keras_capsules.attention.triplet_attention import TripletAttention

ATTENTIONS = {
    "se": SqueezeExcitation,
    "sse": SpatialSqueezeExcitation,
    "scse": ConcurrentSqueezeExcitation,
    "ese": EffectiveSqueezeExcitation,
    "eca": EfficientChannelAttention,
    "cbam": ConvBlockAttention,
    "ge": GatherExcite,
    "gc": GlobalContext,
    "sk": SelectiveKernel,
    "ca": CoordinateAttention,
    "srm": StyleRecalibration,
    "simam": SimAM,
    "triplet": TripletAttention,
}


def get(identifier: "str | dict | keras.layers.Layer", **kwargs: Any) -> keras.layers.Layer:
    """Returns the layer that `identifier` names.

    Args:
        identifier: String, config or instance. A name from `keras_capsules.attention.ATTENTIONS`, a
            config made by `keras.saving.serialize_keras_object`, or a layer, which is returned
            unchanged.
        **kwargs: Constructor arguments. Only for a name.

    Returns:
        A `keras.layers.Layer`.

    Raises:
        ValueError: If the name is unknown, if the object is not a layer, or if arguments come
            with a config or an instance.

    Example:

    >>> keras_capsules.attention.get("se", reduction_ratio=8).reduction_ratio
    8
    """
    return resolve("attention", identifier, ATTENTIONS, keras.layers.Layer, **kwargs)


def clone(
    identifier: "str | dict | keras.layers.Layer", prefix: str, **overrides: Any
) -> keras.layers.Layer:
    """Returns a new layer with the arguments of `identifier`, for another part of a model.

    `overrides` are for arguments that only some attentions have, such as `data_format`. An override
    that the config of `identifier` does not have is dropped without an error, and so is a misspelt
    one.

    Args:
        identifier: As in `get`. An instance stands for its config; its weights are not taken.
        prefix: String. The new layer is called `prefix`, an underscore and the short name of its
            class, or the name of `identifier` where the class has no short name.
        **overrides: Arguments that replace those of `identifier`, as far as its config has them.

    Returns:
        A `keras.layers.Layer`, not built.

    Raises:
        ValueError: As `get` does.

    Example:

    >>> prototype = keras_capsules.attention.get("se", reduction_ratio=8)
    >>> layer = keras_capsules.attention.clone(prototype, "block_1")
    >>> layer.name, layer.reduction_ratio
    ('block_1_se', 8)
    """
    prototype = get(identifier)
    config = prototype.get_config()
    config |= {key: value for key, value in overrides.items() if key in config}
    short = {kind: name for name, kind in ATTENTIONS.items()}.get(type(prototype), prototype.name)
    return type(prototype).from_config(config | {"name": f"{prefix}_{short}"})


__all__ = [
    "ATTENTIONS",
    "CapsuleSqueezeExcitation",
    "ConcurrentSqueezeExcitation",
    "ConvBlockAttention",
    "CoordinateAttention",
    "EffectiveSqueezeExcitation",
    "EfficientChannelAttention",
    "GatherExcite",
    "GlobalContext",
    "SelectiveKernel",
    "SimAM",
    "SpatialSqueezeExcitation",
    "SqueezeExcitation",
    "StyleRecalibration",
    "TripletAttention",
    "clone",
    "get",
]
