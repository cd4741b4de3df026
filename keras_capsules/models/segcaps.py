"""Builds SegCaps, the capsule network that labels each pixel."""

import functools

import keras
from keras import layers

from keras_capsules.initializers import VoteScaling
from keras_capsules.layers import (
    CapsuleLength,
    CapsuleMask,
    ConvCapsule2D,
    ConvCapsule2DTranspose,
    PrimaryCapsule2D,
)
from keras_capsules.losses import MarginLoss
from keras_capsules.models._shared.convolutional_capsules import routing_for_each
from keras_capsules.models._shared.link import Link
from keras_capsules.models.registry import register_model
from keras_capsules.routing import DynamicRouting

# Longer sums start saturated, and several classes are not learned. Shorter ones would die layer by
# layer without the authors' bias, here in each component of the first sum of votes.
_LENGTH = 1.5
_BIAS = 0.1


@register_model(
    top="segmentation_capsules",
    loss=MarginLoss,
    tiny={"input_shape": (16, 16, 1), "width": 4},
    task="segmentation",
    multiple=8,
)
def segcaps(
    input_shape=(512, 512, 1),
    num_classes: int = 1,
    width: int = 16,
    routing="dynamic",
    with_decoder: bool = False,
    decoder_filters=(64, 128),
    name: str = "segcaps",
) -> keras.Model:
    """Builds SegCaps. The defaults are the paper's sizes, with 1,416,112 parameters.

    Capsules go down to an eighth of the size and up again, as in a U-Net, with links between. All
    children of a type in a window cast one vote, and the types share a kernel, as in the authors'
    code. There a bias is added to each sum of votes; here it is added to each vote. It starts so
    that the first sum has the authors' 0.1 in each component.

    | capsules | kernel | strides | types x size | routing iterations |
    | --- | --- | --- | --- | --- |
    | `features` | 5 | 1 | 1 x 16 | a convolution |
    | `primary_capsules` | 5 | 2 | 2 x 16 | 1 |
    | `down_2_1`, `down_2_2` | 5 | 1, 2 | 4 x 16, 4 x 32 | 3 |
    | `down_3_1`, `down_3_2` | 5 | 1, 2 | 8 x 32, 8 x 64 | 3 |
    | `bottom` | 5 | 1 | 8 x 32 | 3 |
    | `up_1_1`, `up_1_2` | 4, 5 | 1/2, 1 | 8 x 32, 4 x 32 | 3 |
    | `up_2_1`, `up_2_2` | 4, 5 | 1/2, 1 | 4 x 16, 4 x 16 | 3 |
    | `up_3_1` | 4 | 1/2 | 2 x 16 | 3 |
    | `segmentation_capsules` | 1 | 1 | `num_classes` x 16 | 3, for one class 1 |

    Train it with `MarginLoss`, its `keras_capsules.models.default_loss`, on maps of class numbers
    `(batch, height, width)` or one-hot maps. With one class, the map says where it is. The paper
    weighs the pixels by the rarity of their class: pass `sample_weight`.
    `python -m benchmarks.segmentation` trains it with Adam at a learning rate of 1e-2.

    Args:
        input_shape: Tuple `(height, width, channels)`. Height and width are multiples of 8, or
            `None`. Pixels in [0, 1].
        num_classes: Integer. 1 for one class against the background; otherwise the background is a
            class as well.
        width: Integer. Size of the smallest poses, and channels of the first convolution. The other
            poses are as large, or 2 or 4 times as large. Defaults to `16`.
        routing: As in `CapsuleLayer`, without explicit activations, for the layers with 3
            iterations in the table. Defaults to `"dynamic"`.
        with_decoder: Boolean. Whether to add the paper's decoder for training, with 1,425,649
            parameters in all. The model then takes `{"image": ..., "label": ...}` with one-hot maps
            `(batch, height, width, num_classes)` and returns
            `{"scores": ..., "reconstruction": ...}`. The paper lets it draw the pixels of the
            class, `image * label`, and leaves the rest black. Defaults to `False`.
        decoder_filters: Tuple of integers. Channels of the decoder's 1 x 1 convolutions.
        name: String. Name of the model.

    Returns:
        A functional `keras.Model` from `image` to `scores`,
        `(batch, height, width, num_classes)` in [0, 1].

    Raises:
        ValueError: If height or width is not a multiple of 8, or the routing has explicit
            activations.

    Example:

    >>> options = {"input_shape": (64, 64, 1), "num_classes": 5}
    >>> keras_capsules.create_model("segcaps", **options).output_shape
    (None, 64, 64, 5)

    Reference:
        LaLonde, Bagci, 2018, "Capsules for Object Segmentation", arXiv 1804.04241.
    """
    routing = routing_for_each(routing, False, name)
    image = keras.Input(input_shape, name="image")
    features = PrimaryCapsule2D(1, width, 5, padding="same", activation="relu", name="features")(
        image
    )
    down = functools.partial(_capsules, ConvCapsule2D, 5)
    up = functools.partial(_capsules, ConvCapsule2DTranspose, 4)
    x = down(features, 2, width, 2, DynamicRouting(iterations=1), "primary_capsules")
    second = down(x, 4, width, 1, routing, "down_2_1")
    x = down(second, 4, 2 * width, 2, routing, "down_2_2")
    third = down(x, 8, 2 * width, 1, routing, "down_3_1")
    x = down(third, 8, 4 * width, 2, routing, "down_3_2")
    x = down(x, 8, 2 * width, 1, routing, "bottom")
    x = _joined(up(x, 8, 2 * width, 2, routing, "up_1_1"), third, "link_1")
    x = down(x, 4, 2 * width, 1, routing, "up_1_2")
    x = _joined(up(x, 4, width, 2, routing, "up_2_1"), second, "link_2")
    x = down(x, 4, width, 1, routing, "up_2_2")
    x = _joined(up(x, 2, width, 2, routing, "up_3_1"), features, "link_3")
    if num_classes == 1:  # One parent takes all votes, and more iterations change nothing.
        routing = DynamicRouting(iterations=1)
    poses = _capsules(ConvCapsule2D, 1, x, num_classes, width, 1, routing, "segmentation_capsules")
    scores = CapsuleLength(name="scores")(poses)
    if not with_decoder:
        return keras.Model(image, scores, name=name)
    label = keras.Input(scores.shape[1:], name="label")
    return keras.Model(
        {"image": image, "label": label},
        {"scores": scores, "reconstruction": _decoded(poses, label, image, decoder_filters)},
        name=name,
    )


def _capsules(layer_class, kernel_size, x, types, dim, strides, routing, name):
    return layer_class(
        types,
        dim,
        kernel_size,
        strides=strides,
        padding="same",
        routing=routing,
        transform="convolution",
        use_bias=True,
        kernel_initializer=VoteScaling(length=_LENGTH),
        bias_initializer=keras.initializers.Constant(_BIAS * types / x.shape[-2]),
        name=name,
    )(x)


def _joined(x, skipped, name):
    return Link(axis=-2, name=name)([x, skipped])


def _decoded(poses, label, image, filters):
    """Draws the image from the capsules of the labelled classes, pixel by pixel."""
    masked = CapsuleMask(name="mask")(poses, label)
    x = layers.Reshape((*image.shape[1:3], -1), name="masked_poses")(masked)
    for number, width in enumerate(filters, start=1):
        x = layers.Conv2D(width, 1, activation="relu", name=f"decoder_{number}")(x)
    channels = image.shape[-1]
    return layers.Conv2D(channels, 1, activation="sigmoid", name="reconstruction")(x)
