"""Prepares pixels as the card of trained weights says, inside the model or before it."""

import keras
import numpy as np


def with_preprocessing(model: keras.Model, steps: dict) -> keras.Model:
    """Returns a copy of a model, with the same weights, whose input `image` takes pixels 0..255.

    Args:
        model: Functional model of the zoo.
        steps: Dictionary. `preprocessing` of a card.
    """
    factor, summand = _factor_and_summand(steps)
    prepare = keras.layers.Rescaling(factor.tolist(), summand.tolist(), name="preprocessing")
    inputs = keras.tree.map_structure(lambda x: keras.Input(x.shape[1:], name=x.name), model.input)
    pixels = inputs["image"] if isinstance(inputs, dict) else inputs
    image = prepare(pixels)

    def call(layer, *args, **kwargs):
        args, kwargs = keras.tree.map_structure(
            lambda x: image if x is pixels else x, (args, kwargs)
        )
        return layer(*args, **kwargs)

    copy = keras.models.clone_model(model, inputs, call_function=call)
    copy.set_weights(model.get_weights())
    return copy


def pixels_of(images: np.ndarray, steps: dict) -> np.ndarray:
    """Returns the uint8 pixels from which images were prepared."""
    factor, summand = _factor_and_summand(steps)
    return np.round((images - summand) / factor).astype("uint8")


def _factor_and_summand(steps):
    """Returns, for each channel or for all, what pixels are multiplied with, and what is added."""
    low, high = steps["input_range"]
    mean, deviation = np.array(steps.get("mean", 0.0)), np.array(steps.get("std", 1.0))
    return (high - low) / 255 / deviation, (low - mean) / deviation
