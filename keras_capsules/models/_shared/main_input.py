"""Tells what a model of the zoo classifies from what only its decoder takes."""

import keras


def main_input(model: keras.Model) -> keras.KerasTensor:
    """Returns the input `image` or `signal` of a model of the zoo."""
    return next(tensor for tensor in model.inputs if tensor.name in ("image", "signal"))
