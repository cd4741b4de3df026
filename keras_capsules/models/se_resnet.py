"""Residual networks for small images with squeeze-and-excitation in every block."""

import keras
from keras import layers

from keras_capsules.attention import SqueezeExcitation
from keras_capsules.models.registry import register_model


@register_model
def se_resnet20(
    input_shape=(32, 32, 3),
    num_classes: int = 10,
    filters=(16, 32, 64),
    blocks: int = 3,
    reduction_ratio: float = 16,
    name: str = "se_resnet20",
) -> keras.Model:
    """Builds SE-ResNet-20: three stages of three residual blocks, each with a gate per channel.

    Two 3 x 3 convolutions a block, batch normalization after each; the gate stands after the last
    normalization and before the addition. A stage after the first halves the image, and its first
    block joins by a 1 x 1 convolution.

    Args:
        input_shape: Tuple `(height, width, channels)`. The paper standardizes each channel.
        num_classes: Integer.
        filters: Tuple of integers. Channels of the stages.
        blocks: Integer. Residual blocks in each stage.
        reduction_ratio: As in `SqueezeExcitation`.
        name: String. Name of the model.

    Returns:
        A functional `keras.Model` from `image` to `scores`, probabilities
        `(batch, num_classes)`.

    Example:

    >>> keras_capsules.create_model("se_resnet20").output_shape
    (None, 10)

    References:
        Hu, Shen, Albanie, Sun, Wu, 2018, arXiv 1709.01507 (the gate and its place).
        He, Zhang, Ren, Sun, 2016, arXiv 1512.03385, section 4.2 (the network; there the shortcuts
        between stages have no parameters).
    """
    image = keras.Input(input_shape, name="image")
    x = _convolution(image, filters[0], 3, 1, "stem")
    x = layers.ReLU(name="stem_relu")(x)
    for stage, width in enumerate(filters, start=1):
        for block in range(1, blocks + 1):
            strides = 2 if stage > 1 and block == 1 else 1
            x = _block(x, width, strides, reduction_ratio, f"stage_{stage}_block_{block}")
    x = layers.GlobalAveragePooling2D(name="pool")(x)
    scores = layers.Dense(num_classes, activation="softmax", name="scores")(x)
    return keras.Model(image, scores, name=name)


def _block(x, filters, strides, reduction_ratio, name):
    shortcut = x
    if strides != 1 or x.shape[-1] != filters:
        shortcut = _convolution(x, filters, 1, strides, f"{name}_shortcut")
    x = _convolution(x, filters, 3, strides, f"{name}_1")
    x = layers.ReLU(name=f"{name}_1_relu")(x)
    x = _convolution(x, filters, 3, 1, f"{name}_2")
    x = SqueezeExcitation(reduction_ratio, name=f"{name}_se")(x)
    x = layers.Add(name=f"{name}_add")([x, shortcut])
    return layers.ReLU(name=f"{name}_relu")(x)


def _convolution(x, filters, kernel_size, strides, name):
    x = layers.Conv2D(
        filters,
        kernel_size,
        strides=strides,
        padding="same",
        use_bias=False,
        kernel_initializer="he_normal",
        name=f"{name}_convolution",
    )(x)
    return layers.BatchNormalization(name=f"{name}_normalization")(x)
