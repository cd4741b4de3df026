"""Convolutions, poolings and what else has a geometry."""

import keras
from keras import layers, ops

from tests.export.corpus.registry import model, one_layer

SHAPES = {1: (12, 4), 2: (9, 8, 4), 3: (6, 5, 6, 4)}
FIRST = {"data_format": "channels_first"}


def of_each_rank(kind, options, ranks=(1, 2, 3), **shared):
    """Returns the arguments of `one_layer` by name, for lines, images and volumes.

    Args:
        kind: Name of the class, in which `#` stands for the number of axes.
        options: Arguments of the layer by name of the variant.
        ranks: Numbers of axes.
        shared: Arguments of all variants.
    """
    return {
        f"{rank}d_{name}".strip("_"): (
            SHAPES[rank],
            getattr(layers, kind.replace("#", str(rank))),
            arguments,
        )
        for rank in ranks
        for name, changes in options.items()
        for arguments in [shared | changes]
    }


CONVOLUTIONS = {
    "same": {"padding": "same", "activation": "relu"},
    "strides": {"strides": 2, "padding": "same"},
    "dilation": {"dilation_rate": 2, "use_bias": False},
    "groups": {"groups": 2},
    "channels_first": FIRST,
}
# What has sense on lines or on images alone.
ON_LINES = {"causal": {"padding": "causal", "dilation_rate": 3}}
ON_IMAGES = {
    "oblong": {"kernel_size": (1, 5), "strides": (2, 3)},
    "oblong_dilation": {"dilation_rate": (3, 1), "padding": "same"},
    "groups_strides": {"groups": 4, "filters": 8, "strides": 2},
    "groups_first": {"groups": 3} | FIRST,
}
CONV = {"filters": 6, "kernel_size": 2}
TRANSPOSED = {
    "valid": {"strides": 2, "padding": "valid"},
    "same": {"strides": 2, "padding": "same"},
    "output_padding": {"strides": 2, "padding": "same", "output_padding": 1},
    "dilation": {"dilation_rate": 2, "padding": "same"},
    "channels_first": {"strides": 2} | FIRST,
}
SEPARATE = {
    "strides": {"strides": 2, "padding": "same"},
    "multiplier": {"depth_multiplier": 2, "dilation_rate": 2},
    "channels_first": FIRST,
}
POOLINGS = {
    "valid": {},
    "same": {"strides": 2, "padding": "same"},
    "channels_first": FIRST,
}
GLOBAL = {"default": {}, "kept_first": {"keepdims": True} | FIRST}


@model(
    of_each_rank("Conv#D", CONVOLUTIONS, **CONV)
    | of_each_rank("Conv#D", ON_LINES, (1,), **CONV)
    | of_each_rank("Conv#D", ON_IMAGES, (2,), **CONV)
)
def conv(arguments):
    return one_layer(arguments)


@model(of_each_rank("Conv#DTranspose", TRANSPOSED, filters=5, kernel_size=3))
def transposed(arguments):
    return one_layer(arguments)


@model(of_each_rank("DepthwiseConv#D", SEPARATE, (1, 2), kernel_size=3))
def depthwise(arguments):
    return one_layer(arguments)


@model(of_each_rank("SeparableConv#D", SEPARATE, (1, 2), filters=5, kernel_size=3))
def separable(arguments):
    return one_layer(arguments)


@model(of_each_rank("MaxPooling#D", POOLINGS, pool_size=3))
def max_pooling(arguments):
    return one_layer(arguments)


@model(of_each_rank("AveragePooling#D", POOLINGS, pool_size=3))
def average_pooling(arguments):
    return one_layer(arguments)


@model(of_each_rank("GlobalMaxPooling#D", GLOBAL))
def global_max_pooling(arguments):
    return one_layer(arguments)


@model(of_each_rank("GlobalAveragePooling#D", GLOBAL))
def global_average_pooling(arguments):
    return one_layer(arguments)


@model(of_each_rank("AdaptiveAveragePooling#D", {"": {"output_size": 2}}))
def adaptive_average_pooling(arguments):
    return one_layer(arguments)


@model(of_each_rank("AdaptiveMaxPooling#D", {"": {"output_size": 2}}))
def adaptive_max_pooling(arguments):
    return one_layer(arguments)


@model(
    of_each_rank("ZeroPadding#D", {"": {}}) | of_each_rank("ZeroPadding#D", {"first": FIRST}, (2,))
)
def zero_padding(arguments):
    return one_layer(arguments)


@model(of_each_rank("Cropping#D", {"": {"cropping": 1}}))
def cropping(arguments):
    return one_layer(arguments)


@model(of_each_rank("UpSampling#D", {"": {"size": 2}}))
def up_sampling(arguments):
    return one_layer(arguments)


INTERPOLATIONS = {"bilinear": {"interpolation": "bilinear"}, "first": FIRST}


@model(of_each_rank("UpSampling#D", INTERPOLATIONS, (2,), size=(2, 3)))
def up_sampling_with(arguments):
    return one_layer(arguments)


@model({"to_space": True, "to_depth": False})
def depth(to_space):
    x = keras.Input((4, 4, 8))
    return keras.Model(x, ops.depth_to_space(x, 2) if to_space else ops.space_to_depth(x, 2))
