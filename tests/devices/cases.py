"""Small models of many kinds, and what is asked of their files."""

from typing import NamedTuple

import keras
import numpy as np
from keras import layers

from export.verify import seal_path


class Case(NamedTuple):
    """A model, the options of its export, inputs by name, and samples to classify."""

    model: keras.Model
    options: dict
    inputs: dict
    samples: np.ndarray | None = None


def _classifier(shape, outputs, activation, pool=True):
    x = inputs = keras.Input(shape, name="image")
    x = layers.Conv2D(4, 3, activation="relu")(x)
    x = layers.GlobalAveragePooling2D()(x) if pool else layers.Flatten()(x)
    return keras.Model(inputs, layers.Dense(outputs, activation=activation, name="scores")(x))


def _signal():
    x = inputs = keras.Input((None, 2), name="signal")
    x = layers.GlobalAveragePooling1D()(layers.Conv1D(4, 3, activation="relu")(x))
    return keras.Model(inputs, layers.Dense(3, activation="softmax", name="scores")(x))


def _mask():
    x = inputs = keras.Input((8, 8, 1), name="image")
    x = layers.Conv2D(4, 3, padding="same", activation="relu")(x)
    return keras.Model(inputs, layers.Conv2D(3, 1, activation="softmax", name="mask")(x))


def _two_inputs():
    left, right = keras.Input((4,), name="left"), keras.Input((3,), name="right")
    x = layers.Concatenate()([left, right])
    scores = layers.Dense(3, activation="softmax", name="scores")(x)
    return keras.Model([left, right], [scores, layers.Dense(2, name="pose")(x)])


def _tokens():
    x = inputs = keras.Input((5,), dtype="int32", name="tokens")
    x = layers.GlobalAveragePooling1D()(layers.Embedding(9, 4)(x))
    return keras.Model(inputs, layers.Dense(3, activation="softmax", name="scores")(x))


def _same():
    """Answers its input, so that a score can equal the threshold."""
    inputs = keras.Input((3,), name="values")
    return keras.Model(inputs, layers.Activation("linear", name="scores")(inputs))


def all_cases(generator: np.random.Generator) -> dict[str, Case]:
    """Returns a case of each kind by name."""

    def pixels(*shape):
        return generator.integers(0, 256, shape).astype("uint8")

    def floats(*shape):
        return generator.uniform(size=shape).astype("float32")

    exact = np.float32([[0.7, 0.69, 0.2], [0.1, 0.2, 0.3]])
    names, cat = ["ant", "bee", "cat"], {"labels": ["no cat", "cat"], "task": "binary"}
    classes, tokens = pixels(40, 8, 8, 3), np.int32([[1, 2, 3, 4, 0], [8, 8, 8, 8, 8]])
    planes = {"preprocess": True, "layout": "channels_first", "labels": names, "task": "labels"}
    open_sizes, several = pixels(2, 3, 9, 12), {"left": floats(2, 4), "right": floats(2, 3)}
    return {
        "classes": Case(
            _classifier((8, 8, 3), 3, "softmax", pool=False),
            {"labels": names, "input_range": (-1, 1)},
            {"image": floats(2, 8, 8, 3)},
            classes,
        ),
        "uint8": Case(
            _classifier((8, 8, 1), 3, "softmax"),
            {"preprocess": True},
            {"image": pixels(2, 8, 8, 1)},
            pixels(3, 8, 8, 1),
        ),
        "planes": Case(
            _classifier((None, None, 3), 3, "sigmoid"), planes, {"image": open_sizes}, open_sizes
        ),
        "labels": Case(
            _same(), {"labels": names, "task": "labels", "threshold": 0.7}, {"values": exact}, exact
        ),
        "binary": Case(
            _classifier((8, 8, 1), 1, "sigmoid"),
            cat | {"input_range": (0, 1)},
            {"image": floats(2, 8, 8, 1)},
            pixels(4, 8, 8, 1),
        ),
        "signal": Case(_signal(), {}, {"signal": floats(2, 17, 2)}, floats(3, 11, 2)),
        "mask": Case(_mask(), {"input_range": (0, 1)}, {"image": floats(2, 8, 8, 1)}),
        "several": Case(_two_inputs(), {}, several),
        "tokens": Case(_tokens(), {}, {"tokens": tokens}, tokens),
        "batch": Case(
            _classifier((8, 8, 1), 3, "softmax"),
            {"batch": 1, "input_range": (0, 1)},
            {"image": floats(1, 8, 8, 1)},
            pixels(3, 8, 8, 1),
        ),
    }


def job_of(folder, name: str, **changes) -> dict:
    """Returns a job for `answers.mjs` with a file and its seal."""
    file = folder / f"{name}.onnx"
    return {"file": str(file), "seal": str(seal_path(file))} | changes


def as_json(array: np.ndarray) -> dict:
    return {"type": array.dtype.name, "dims": array.shape, "data": array.ravel().tolist()}


def image_of(sample: np.ndarray, first: bool) -> dict:
    """Returns a sample of pixels, with its channels first or last, as an ImageData has it."""
    pixels = np.moveaxis(sample, 0, -1) if first else sample
    height, width, _ = pixels.shape
    pixels = np.broadcast_to(pixels, (height, width, 3))
    rgba = np.concatenate([pixels, np.full((height, width, 1), 255)], axis=-1)
    return {"width": width, "height": height, "data": rgba.ravel().tolist()}
