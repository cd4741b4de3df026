"""Puts preprocessing in front of a model, which then takes raw pixels.

The preprocessing consists of two Keras layers. The new model is saved, converted and compared as a
whole.
"""

import keras

from export import keras_model
from export.errors import UsageError
from export.options import ExportOptions
from keras_capsules import _graph


def with_preprocessing(model: keras.Model, options: ExportOptions) -> keras.Model:
    """Returns the model with the preprocessing in front. Both models share their layers.

    Args:
        model: Functional or sequential model.
        options: Options of the export: `input_range`, `mean`, `std` and `layout` are used.

    Returns:
        The new model. Its image input keeps the name and takes uint8.

    Raises:
        UsageError: If the model does not have exactly one input of images, or if its number of
            channels does not fit.
    """
    if isinstance(model, keras.Sequential):
        model = keras.Model(model.inputs, model.outputs, name=model.name)
    image = _image_input(model)
    height, width, channels = image.shape[1:]
    steps = options.preprocessing
    last = steps["layout"] == "channels_last"
    shape = (height, width, channels) if last else (channels, height, width)
    inputs = {
        id(tensor): keras.Input(tensor.shape[1:], dtype=tensor.dtype, name=name)
        for tensor, name in zip(model.inputs, keras_model.input_names(model), strict=True)
    }
    name = _graph.name_of(image)
    pixels = inputs[id(image)] = keras.Input(shape, dtype="uint8", name=name)
    x = pixels if last else keras.layers.Permute((2, 3, 1), name="preprocessing_layout")(pixels)
    scale, offset = _scale_and_offset(steps, channels)
    x = keras.layers.Rescaling(scale, offset, name="preprocessing_scale")(x)

    def call(layer, *args, **kwargs):
        args, kwargs = keras.tree.map_structure(
            lambda value: x if value is pixels else value, (args, kwargs)
        )
        return layer(*args, **kwargs)

    return keras.models.clone_model(
        model,
        input_tensors=keras.tree.map_structure(lambda tensor: inputs[id(tensor)], model.input),
        clone_function=lambda layer: layer,
        call_function=call,
    )


def _image_input(model):
    images = [x for x in model.inputs if len(x.shape) == 4 and "float" in x.dtype]
    if len(images) != 1 or keras.config.image_data_format() != "channels_last":
        shapes = [(tuple(tensor.shape), tensor.dtype) for tensor in model.inputs]
        raise UsageError(
            "Preprocessing can be put in front of a model with one float input of images, "
            "(batch, height, width, channels), under Keras' image_data_format 'channels_last'. "
            f"Received: inputs {shapes}"
        )
    return images[0]


def _scale_and_offset(steps, channels):
    """Returns the steps as a factor and a summand, one for all channels or one for each."""
    (low, high), mean, std = steps["input_range"], steps["mean"], steps["std"]
    for name, values in (("mean", mean), ("std", std)):
        if len(values) not in (1, channels):
            raise UsageError(
                f"Pass one {name} for all channels, or {channels}, one for each. Received: {values}"
            )
    count = max(len(mean), len(std))
    means, stds = (values * (count // len(values)) for values in (mean, std))
    scale = [(high - low) / 255 / divisor for divisor in stds]
    offset = [(low - value) / divisor for value, divisor in zip(means, stds, strict=True)]
    return (scale, offset) if count > 1 else (scale[0], offset[0])
