"""Builds the plain convolutional network that capsules are compared with."""

import keras
from keras import layers

from keras_capsules.models._shared.halvings import halved
from keras_capsules.models._shared.normalization import normalization
from keras_capsules.models.registry import register_model


@register_model(
    top="flatten",
    loss=keras.losses.CategoricalCrossentropy,
    tiny={"filters": (4, 4), "units": (8,)},
)
def cnn_baseline(
    input_shape=(28, 28, 1),
    num_classes: int = 10,
    filters=(256, 256, 128),
    kernel_size=5,
    strides=1,
    batch_normalization: bool = False,
    units=(328, 192),
    dropout: float = 0.5,
    halvings: int | None = None,
    name: str = "cnn_baseline",
) -> keras.Model:
    """Builds the baseline of Sabour et al.: convolutions, and dense layers with dropout.

    The defaults are the paper's sizes, with 35,445,522 parameters at 28 x 28. Train it with
    `CategoricalCrossentropy`, its `keras_capsules.models.default_loss`, on one-hot labels.
    `python -m benchmarks.learns` does so with Adam at a learning rate of 1e-3 and batches of 64.

    Args:
        input_shape: Tuple `(height, width, channels)`. Pixels in [0, 1].
        num_classes: Integer.
        filters: Tuple of integers. Channels of the convolutions.
        kernel_size: Integer or pair. Window of the convolutions.
        strides: Integer for all convolutions, or tuple of integers with one for each.
        batch_normalization: Boolean. Whether batch normalization follows each convolution. Defaults
            to `False`.
        units: Tuple of integers. Widths of the dense layers before the last.
        dropout: Float. Share of the last hidden layer's units to drop in training.
        halvings: Integer. How often a convolution with stride 2 halves the image first. `None`, the
            default, halves until at most 40 pixels are left on each side.
        name: String. Name of the model.

    Returns:
        A functional `keras.Model` from `image` to `scores`, probabilities
        `(batch, num_classes)`.

    Example:

    >>> keras_capsules.create_model("cnn_baseline", filters=(16, 16), units=(64,)).output_shape
    (None, 10)

    Reference:
        Sabour, Frosst, Hinton, 2017, arXiv 1710.09829, section 5.
    """
    image = keras.Input(input_shape, name="image")
    x = halved(image, halvings, 40)
    strides = (strides,) * len(filters) if isinstance(strides, int) else strides
    for index, (width, stride) in enumerate(zip(filters, strides, strict=True), start=1):
        x = layers.Conv2D(
            width,
            kernel_size,
            strides=stride,
            padding="same",
            activation="relu",
            name=f"convolution_{index}",
        )(x)
        if batch_normalization:
            x = normalization(f"normalization_{index}")(x)
    x = layers.Flatten(name="flatten")(x)
    for index, width in enumerate(units, start=1):
        x = layers.Dense(width, activation="relu", name=f"dense_{index}")(x)
    x = layers.Dropout(dropout, name="dropout")(x)
    scores = layers.Dense(num_classes, activation="softmax", name="scores")(x)
    return keras.Model(image, scores, name=name)
