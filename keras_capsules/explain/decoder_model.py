"""Makes a separate model of the decoder of a trained model."""

import keras

from keras_capsules.layers import ReconstructionDecoder


def decoder_model(model: keras.Model) -> keras.Model:
    """Copies the decoder of a trained model, which draws an image from any poses.

    Set the poses of all capsules but one to zero, as `CapsuleMask` does. Then change this pose a
    little to see what changes in the image.

    Args:
        model: `keras.Model` with one `ReconstructionDecoder`, such as a model of the zoo made
            with `with_decoder=True`. It is not changed.

    Returns:
        A functional `keras.Model` from `poses`, `(batch, num_capsules, capsule_dim)`, to
        `reconstruction`, `(batch, height, width, channels)`. It has copies of the weights.

    Raises:
        ValueError: If the model does not have exactly one decoder, or was never built.

    Example:

    >>> model = keras_capsules.create_model("efficient_capsnet", "mnist", with_decoder=True)
    >>> decoder = keras_capsules.explain.decoder_model(model)
    >>> decoder(keras.ops.zeros((2, 10, 16))).shape
    (2, 28, 28, 1)

    Reference:
        Sabour, Frosst, Hinton, 2017, arXiv 1710.09829, section 5.1.
    """
    decoders = [
        layer
        for layer in model._flatten_layers(include_self=False)
        if isinstance(layer, ReconstructionDecoder)
    ]
    if len(decoders) != 1 or not decoders[0].built:
        raise ValueError(
            "The model must have one ReconstructionDecoder, and be built. Models of the zoo have "
            "it with `with_decoder=True`. "
            f"Received: {model.name!r} with {len(decoders)} of them, built={model.built}"
        )
    decoder = decoders[0]
    poses = keras.Input(decoder.get_build_config()["input_shape"][1:], name="poses")
    copy = type(decoder).from_config(decoder.get_config() | {"name": "reconstruction"})
    decoded = keras.Model(poses, copy(poses), name=f"{model.name}_decoder")
    copy.set_weights(decoder.get_weights())
    return decoded
