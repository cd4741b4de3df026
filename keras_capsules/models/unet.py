"""Builds U-Net, plain and with squeeze-and-excitation."""

import keras
from keras import layers

from keras_capsules import attention as attentions
from keras_capsules.models._shared.link import Link
from keras_capsules.models._shared.normalization import normalization
from keras_capsules.models.registry import register_model

_TINY = {"input_shape": (16, 16, 1), "filters": (4, 4, 8, 8)}
_REGISTERED = {
    "top": "scores",
    "loss": keras.losses.CategoricalCrossentropy,
    "tiny": _TINY,
    "task": "segmentation",
    "multiple": 8,
}


@register_model(**_REGISTERED)
def unet(
    input_shape=(512, 512, 1),
    num_classes: int = 1,
    filters=(28, 56, 112, 213),
    attention=None,
    name: str = "unet",
) -> keras.Model:
    """Builds a U-Net that is as large as SegCaps. The defaults have 1,418,390 parameters.

    Each level has two 3 x 3 convolutions with batch normalization and relu, as in later U-Nets, and
    pads the image. Max pooling goes down, and transposed convolutions go up. The paper's U-Net has
    5 levels, of 64 to 1,024 channels. Train it on one-hot maps, with `CategoricalCrossentropy`, its
    `keras_capsules.models.default_loss`, or, with one class, with `BinaryCrossentropy`.

    Args:
        input_shape: Tuple `(height, width, channels)`. Height and width are multiples of 8, or
            `None`. Pixels in [0, 1].
        num_classes: Integer. 1 for one class against the background; otherwise the background is a
            class as well.
        filters: Tuple of four integers. Channels of each level.
        attention: As in `se_resnet20`, or `None`, the default. Gates the output of each level.
        name: String. Name of the model.

    Returns:
        A functional `keras.Model` from `image` to `scores`, probabilities
        `(batch, height, width, num_classes)`.

    Raises:
        ValueError: If height or width is not a multiple of 8, or there are not four levels.

    Example:

    >>> options = {"input_shape": (64, 96, 3), "num_classes": 5}
    >>> keras_capsules.create_model("unet", **options).output_shape
    (None, 64, 96, 5)

    Reference:
        Ronneberger, Fischer, Brox, 2015, arXiv 1505.04597.
    """
    if len(filters) != 4:
        raise ValueError(f"`filters` has a number for each of 4 levels. Received: {filters=}")
    image = keras.Input(input_shape, name="image")
    x, skipped = image, []
    for level, width in enumerate(filters, start=1):
        x = _block(x, width, attention, f"down_{level}")
        if level < len(filters):
            skipped.append(x)
            x = layers.MaxPooling2D(2, name=f"pooling_{level}")(x)
    for level, width in reversed(list(enumerate(filters[:-1], start=1))):
        x = layers.Conv2DTranspose(width, 2, strides=2, name=f"up_{level}_transposed")(x)
        x = Link(name=f"link_{level}")([skipped.pop(), x])
        x = _block(x, width, attention, f"up_{level}")
    activation = "sigmoid" if num_classes == 1 else "softmax"
    scores = layers.Conv2D(num_classes, 1, activation=activation, name="scores")(x)
    return keras.Model(image, scores, name=name)


@register_model(**_REGISTERED)
def se_unet(
    input_shape=(512, 512, 1),
    num_classes: int = 1,
    filters=(28, 56, 112, 199),
    attention="scse",
    name: str = "se_unet",
) -> keras.Model:
    """Builds a U-Net with scSE after each level. The defaults have 1,419,796 parameters.

    Args:
        input_shape, num_classes, filters, attention, name: As in `unet`.

    Returns:
        A functional `keras.Model` from `image` to `scores`, probabilities
        `(batch, height, width, num_classes)`.

    Raises:
        ValueError: As `unet`, or if there is no such attention.

    Example:

    >>> keras_capsules.create_model("se_unet", size="tiny").get_layer("down_1_scse").name
    'down_1_scse'

    Reference:
        Roy, Navab, Wachinger, 2018, "Concurrent spatial and channel squeeze and excitation in fully
        convolutional networks", arXiv 1803.02579.
    """
    return unet(input_shape, num_classes, filters, attention, name)


def _block(x, width, attention, name):
    for number in (1, 2):
        x = layers.Conv2D(
            width,
            3,
            padding="same",
            use_bias=False,
            kernel_initializer="he_normal",
            name=f"{name}_convolution_{number}",
        )(x)
        x = normalization(f"{name}_normalization_{number}")(x)
        x = layers.ReLU(name=f"{name}_relu_{number}")(x)
    return x if attention is None else attentions.clone(attention, name)(x)
