"""Makes large images small enough for networks whose papers have small ones."""

from typing import Any

from keras import layers

from keras_capsules._arguments import positive_integer
from keras_capsules.models._shared.normalization import normalization

_FILTERS = 32


def halved(image: Any, halvings: int | None, largest: int) -> Any:
    """Adds 3 x 3 convolutions with stride 2, batch normalization and relu.

    Args:
        image: The `keras.Input`.
        halvings: Integer, or `None` for as many as leave at most `largest` pixels on each side.
            Images of open sizes are left as they are.
        largest: Integer.

    Raises:
        ValueError: If `halvings` is not an integer of 0 or more.
    """
    sizes = image.shape[1:3]
    if halvings is None:
        halvings = 0
        while None not in sizes and -(-max(sizes) // 2**halvings) > largest:
            halvings += 1
    elif halvings != 0:
        positive_integer("halvings", halvings)
    x = image
    for number in range(1, halvings + 1):
        x = layers.Conv2D(
            _FILTERS,
            3,
            strides=2,
            padding="same",
            use_bias=False,
            kernel_initializer="he_normal",
            name=f"halving_{number}_convolution",
        )(x)
        x = normalization(f"halving_{number}_normalization")(x)
        x = layers.ReLU(name=f"halving_{number}_relu")(x)
    return x
