"""Builds residual networks with squeeze-and-excitation, or other attention, in every block."""

import keras
from keras import layers

from keras_capsules.attention import clone
from keras_capsules.models._shared.halvings import halved
from keras_capsules.models._shared.normalization import normalization
from keras_capsules.models.registry import register_model


@register_model(
    top="pool", loss=keras.losses.CategoricalCrossentropy, tiny={"filters": (4, 8), "blocks": 1}
)
def se_resnet20(
    input_shape=(32, 32, 3),
    num_classes: int = 10,
    filters=(16, 32, 64),
    blocks: int = 3,
    attention="se",
    halvings: int | None = None,
    name: str = "se_resnet20",
) -> keras.Model:
    """Builds SE-ResNet-20: three stages of three residual blocks, each with a gate per channel.

    A block has two 3 x 3 convolutions with batch normalization after each. The gate is between the
    last normalization and the addition. Each stage after the first halves the image, and the
    shortcut of its first block is a 1 x 1 convolution.

    Train it with `CategoricalCrossentropy`, its `keras_capsules.models.default_loss`, on one-hot
    labels. `python -m benchmarks.learns` does so with Adam at a learning rate of 1e-3 and batches
    of 64.

    Args:
        input_shape: Tuple `(height, width, channels)`. The paper standardizes each channel.
        num_classes: Integer.
        filters: Tuple of integers. Channels of the stages.
        blocks: Integer. Residual blocks in each stage.
        attention: Name, config or instance of an attention, such as `"eca"` or
            `attention.get("se", reduction_ratio=8)`. It is cloned for each block. `None` builds the
            plain network.
        halvings: Integer. How often a convolution with stride 2 halves the image first. `None`, the
            default, halves until at most 64 pixels are left on each side.
        name: String. Name of the model.

    Returns:
        A functional `keras.Model` from `image` to `scores`, probabilities
        `(batch, num_classes)`.

    Raises:
        ValueError: If there is no such attention.

    Example:

    >>> keras_capsules.create_model("se_resnet20", attention="eca").output_shape
    (None, 10)

    References:
        Hu, Shen, Albanie, Sun, Wu, 2018, arXiv 1709.01507 (the gate and its position). He, Zhang,
        Ren, Sun, 2016, arXiv 1512.03385, section 4.2 (the network, but without parameters in the
        shortcuts between stages).
    """
    image = keras.Input(input_shape, name="image")
    x = halved(image, halvings, 64)
    x = basic_stages(x, filters, [blocks] * len(filters), attention)
    return _classifier(image, x, num_classes, name)


@register_model(
    top="pool", loss=keras.losses.CategoricalCrossentropy, tiny={"filters": (4, 8), "blocks": 1}
)
def se_resnet32(blocks: int = 5, name: str = "se_resnet32", **kwargs) -> keras.Model:
    """Builds SE-ResNet-32: `se_resnet20` with five residual blocks in each stage, trained alike.

    Args:
        blocks: Integer. Residual blocks in each stage.
        name: String. Name of the model.
        **kwargs: The other arguments of `se_resnet20`.

    Returns:
        A functional `keras.Model`, as `se_resnet20`.

    Example:

    >>> model = keras_capsules.create_model("se_resnet32", filters=(4, 8), num_classes=3)
    >>> model.output_shape
    (None, 3)
    """
    return se_resnet20(blocks=blocks, name=name, **kwargs)


@register_model(
    top="pool", loss=keras.losses.CategoricalCrossentropy, tiny={"filters": (4, 8), "blocks": 1}
)
def se_resnet56(blocks: int = 9, name: str = "se_resnet56", **kwargs) -> keras.Model:
    """Builds SE-ResNet-56: `se_resnet20` with nine residual blocks in each stage, trained alike.

    Args:
        blocks: Integer. Residual blocks in each stage.
        name: String. Name of the model.
        **kwargs: The other arguments of `se_resnet20`.

    Returns:
        A functional `keras.Model`, as `se_resnet20`.

    Example:

    >>> model = keras_capsules.create_model("se_resnet56", filters=(4, 8), num_classes=3)
    >>> model.output_shape
    (None, 3)
    """
    return se_resnet20(blocks=blocks, name=name, **kwargs)


@register_model(
    top="pool",
    loss=keras.losses.CategoricalCrossentropy,
    tiny={"filters": (2, 4), "blocks": (1, 1)},
)
def se_resnet50(
    input_shape=(224, 224, 3),
    num_classes: int = 1000,
    filters=(64, 128, 256, 512),
    blocks=(3, 4, 6, 3),
    attention="se",
    name: str = "se_resnet50",
) -> keras.Model:
    """Builds SE-ResNet-50: four stages of bottleneck blocks, each with a gate per channel.

    A block reduces the channels by a 1 x 1 convolution, applies a 3 x 3 convolution, and expands to
    four times the channels by a 1 x 1 convolution. The stride of a stage is in its first 1 x 1
    convolution, as in the paper and in the network released with it. In torchvision it is in the 3
    x 3 convolution, with the same number of parameters.

    Train it with `CategoricalCrossentropy`, its `keras_capsules.models.default_loss`, on one-hot
    labels. `python -m benchmarks.learns` does so with Adam at a learning rate of 1e-3 and batches
    of 64.

    Args:
        input_shape: Tuple `(height, width, channels)`.
        num_classes: Integer.
        filters: Tuple of integers. Channels of the stages' 3 x 3 convolutions.
        blocks: Tuple of integers. Residual blocks of the stages.
        attention: As in `se_resnet20`.
        name: String. Name of the model.

    Returns:
        A functional `keras.Model` from `image` to `scores`, probabilities
        `(batch, num_classes)`.

    Raises:
        ValueError: If there is no such attention.

    Example:

    >>> sizes = {"input_shape": (32, 32, 3), "filters": (4, 8), "blocks": (1, 1)}
    >>> model = keras_capsules.create_model("se_resnet50", **sizes)
    >>> model.get_layer("stage_2_block_1_se").output.shape
    (None, 4, 4, 32)

    References:
        Hu, Shen, Albanie, Sun, Wu, 2018, arXiv 1709.01507.
        He, Zhang, Ren, Sun, 2016, arXiv 1512.03385, table 1.
    """
    image = keras.Input(input_shape, name="image")
    x = _convolution(image, filters[0], 7, 2, "stem")
    x = layers.ReLU(name="stem_relu")(x)
    x = layers.MaxPooling2D(3, 2, padding="same", name="stem_pool")(x)
    x = _stages(x, filters, blocks, ((1, 1), (3, 1), (1, 4)), attention)
    return _classifier(image, x, num_classes, name)


def basic_stages(image, filters, blocks, attention=None):
    """Adds the network for small images without the classifier, in blocks of two convolutions."""
    x = _convolution(image, filters[0], 3, 1, "stem")
    x = layers.ReLU(name="stem_relu")(x)
    return _stages(x, filters, blocks, ((3, 1), (3, 1)), attention)


def _stages(x, filters, blocks, kernels, attention):
    """Adds blocks with a convolution for each pair of kernel size and multiple of the channels."""
    for stage, (width, count) in enumerate(zip(filters, blocks, strict=True), start=1):
        for block in range(1, count + 1):
            strides = 2 if stage > 1 and block == 1 else 1
            x = _block(x, width, strides, kernels, attention, f"stage_{stage}_block_{block}")
    return x


def _block(x, width, strides, kernels, attention, name):
    shortcut, expanded = x, width * kernels[-1][1]
    if strides != 1 or x.shape[-1] != expanded:
        shortcut = _convolution(x, expanded, 1, strides, f"{name}_shortcut")
    for number, (kernel_size, multiple) in enumerate(kernels, start=1):
        if number > 1:
            x = layers.ReLU(name=f"{name}_{number - 1}_relu")(x)
        x = _convolution(x, width * multiple, kernel_size, strides, f"{name}_{number}")
        strides = 1
    if attention is not None:
        x = clone(attention, name)(x)
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
    return normalization(f"{name}_normalization")(x)


def _classifier(image, x, num_classes, name):
    x = layers.GlobalAveragePooling2D(name="pool")(x)
    scores = layers.Dense(num_classes, activation="softmax", name="scores")(x)
    return keras.Model(image, scores, name=name)
