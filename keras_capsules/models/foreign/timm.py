"""Builds SE-ResNets as timm does, of the sizes that its state dict has."""

import keras
import numpy as np
from keras import layers

from keras_capsules.attention import SqueezeExcitation
from keras_capsules.models.foreign.arrays import ForeignArrays


def load_timm(
    arrays: dict[str, np.ndarray], input_shape=(224, 224, 3), name: str = "se_resnet"
) -> keras.Model:
    """Builds a network of the state dict of `seresnet18`, 34, 50, 101 or 152.

    It is not `se_resnet50` of the zoo: padding is the same on both sides, as in PyTorch, and the
    stride is in the 3 x 3 convolution of a block.
    """
    counters = [name for name in arrays if name.endswith(".num_batches_tracked")]
    weights = ForeignArrays(
        {name: array for name, array in arrays.items() if name not in counters}, "timm's SE-ResNet"
    )
    image = keras.Input(input_shape, name="image")
    x = _normalized(weights, image, "conv1", "bn1", 7, 2, "stem")
    x = layers.ReLU(name="stem_relu")(x)
    # Zeros beyond the edge are never the maximum of what relu returns, or as good as it.
    x = layers.ZeroPadding2D(1, name="stem_pool_padding")(x)
    x = layers.MaxPooling2D(3, 2, name="stem_pool")(x)
    for stage in range(1, 5):
        block = 0
        while block == 0 or f"layer{stage}.{block}.conv1.weight" in weights:
            x = _block(weights, x, stage, block)
            block += 1
    x = layers.GlobalAveragePooling2D(name="pool")(x)
    kernel = weights.take("fc.weight", (None, x.shape[-1])).T
    head = layers.Dense(kernel.shape[1], activation="softmax", name="scores")
    scores = head(x)
    head.set_weights([kernel, weights.take("fc.bias", (kernel.shape[1],))])
    weights.finish()
    return keras.Model(image, scores, name=name)


def _block(weights, x, stage, block):
    source, name = f"layer{stage}.{block}", f"stage_{stage}_block_{block + 1}"
    strides = 2 if stage > 1 and block == 0 else 1
    bottleneck = f"{source}.conv3.weight" in weights
    kernel_sizes, strided = ((1, 3, 1), 2) if bottleneck else ((3, 3), 1)
    shortcut = x
    for number, kernel_size in enumerate(kernel_sizes, start=1):
        if number > 1:
            x = layers.ReLU(name=f"{name}_{number - 1}_relu")(x)
        conv, norm = f"{source}.conv{number}", f"{source}.bn{number}"
        step = strides if number == strided else 1
        x = _normalized(weights, x, conv, norm, kernel_size, step, f"{name}_{number}")
    x = _excited(weights, x, f"{source}.se", f"{name}_se")
    if strides != 1 or shortcut.shape[-1] != x.shape[-1]:
        conv, norm = f"{source}.downsample.0", f"{source}.downsample.1"
        shortcut = _normalized(weights, shortcut, conv, norm, 1, strides, f"{name}_shortcut")
    x = layers.Add(name=f"{name}_add")([x, shortcut])
    return layers.ReLU(name=f"{name}_relu")(x)


def _normalized(weights, x, conv, norm, kernel_size, strides, name):
    """Adds a convolution, padded as in PyTorch, and batch normalization with its epsilon."""
    shape = (None, x.shape[-1], kernel_size, kernel_size)
    kernel = weights.take(f"{conv}.weight", shape)
    if kernel_size > 1:
        x = layers.ZeroPadding2D(kernel_size // 2, name=f"{name}_padding")(x)
    filters = len(kernel)
    convolution = layers.Conv2D(
        filters, kernel_size, strides=strides, use_bias=False, name=f"{name}_convolution"
    )
    x = convolution(x)
    convolution.set_weights([kernel.transpose(2, 3, 1, 0)])
    normalization = layers.BatchNormalization(
        momentum=0.9, epsilon=1e-5, name=f"{name}_normalization"
    )
    x = normalization(x)
    normalization.set_weights(
        [
            weights.take(f"{norm}.{weight}", (filters,))
            for weight in ("weight", "bias", "running_mean", "running_var")
        ]
    )
    return x


def _excited(weights, x, source, name):
    channels = x.shape[-1]
    reduce = weights.take(f"{source}.fc1.weight", (None, channels, 1, 1))
    width = len(reduce)
    layer = SqueezeExcitation(reduced_channels=width, name=name)
    x = layer(x)
    excite = weights.take(f"{source}.fc2.weight", (channels, width, 1, 1))
    layer.reduce.set_weights(
        [reduce.transpose(2, 3, 1, 0), weights.take(f"{source}.fc1.bias", (width,))]
    )
    layer.excite.set_weights(
        [excite.transpose(2, 3, 1, 0), weights.take(f"{source}.fc2.bias", (channels,))]
    )
    return x
