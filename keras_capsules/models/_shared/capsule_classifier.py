"""Ends capsule networks with lengths as scores, and with a decoder for training."""

import keras

from keras_capsules.layers import CapsuleLength, CapsuleMask, ReconstructionDecoder
from keras_capsules.routing import get


def check_lengths(routing, name: str) -> None:
    """Raises if a routing has explicit activations, so that the lengths of poses mean nothing."""
    if get(routing).explicit_activations:
        raise ValueError(
            f"{name} scores classes by the length of their poses, but its routing gives explicit "
            "activations instead. Choose a routing without them, such as 'dynamic'. "
            f"Received: routing={routing!r}"
        )


def capsule_classifier(
    image, poses, with_decoder, decoder_units, name, class_independent=False
) -> keras.Model:
    """Returns the model from an image to the lengths of its class capsules' poses.

    Args:
        image: The `keras.Input`.
        poses: Poses of the class capsules `(batch, num_classes, capsule_dim)`.
        with_decoder: Boolean. Whether the model also takes `label` and returns `reconstruction`.
        decoder_units: Tuple of integers. Widths of the decoder's hidden layers.
        name: String. Name of the model.
        class_independent: Boolean. As in `ReconstructionDecoder`.
    """
    scores = CapsuleLength(name="scores")(poses)
    if not with_decoder:
        return keras.Model(image, scores, name=name)
    label = keras.Input(scores.shape[1:], name="label")
    masked = CapsuleMask(name="mask")(poses, label)
    decoder = ReconstructionDecoder(
        image.shape[1:], decoder_units, class_independent, name="reconstruction"
    )
    return keras.Model(
        {"image": image, "label": label},
        {"scores": scores, "reconstruction": decoder(masked)},
        name=name,
    )
