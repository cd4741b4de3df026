"""Finds out which numbers a model accepts as inputs."""

import math
from collections.abc import Callable, Iterator
from dataclasses import dataclass

import keras
import numpy as np

from export import keras_model
from keras_capsules import _graph

MOST_SAMPLES = 1024
"""Largest number of samples in which the rows of tables are tried."""

_KEEPS_NUMBERS = (
    "Cast",
    "ExpandDims",
    "Flatten",
    "Identity",
    "Permute",
    "RepeatVector",
    "Reshape",
    "Squeeze",
    "Transpose",
)


@dataclass(frozen=True)
class Accepted:
    """Numbers that an input accepts.

    Attributes:
        low: Smallest number of an ordinary input.
        high: Largest number of an ordinary input.
        whole: Whether only whole numbers are possible.
        rows: Number of rows of the table that the input is an index of, or `None`.
    """

    low: float
    high: float
    whole: bool
    rows: int | None = None


def accepted(model: keras.Model, input_range: tuple[float, float] = (0.0, 1.0)) -> list[Accepted]:
    """Returns the numbers that each input of a model accepts.

    Args:
        model: The Keras model.
        input_range: Range of ordinary real inputs.
    """
    return [_accepted(tensor, rows, input_range) for tensor, rows in _tables(model)]


def _accepted(tensor, rows, input_range):
    if rows is not None:
        return Accepted(0, rows - 1, True, rows)
    if tensor.dtype == "bool":
        return Accepted(0, 1, True)
    if tensor.dtype == "uint8":
        return Accepted(0, 255, True)
    if "int" in tensor.dtype:  # Numbers of words or classes, which always include 0 and 1.
        return Accepted(0, 1, True)
    return Accepted(input_range[0], input_range[1], False)


def _tables(model):
    """Yields each input with the number of rows of the smallest table that it is an index of."""
    for tensor in model.inputs:
        yield tensor, min(_rows(model, tensor), default=None)


def _rows(model, tensor) -> Iterator[int]:
    for call in _graph.calls_in_order(model.inputs, model.outputs):
        if not any(entry is tensor for entry in call.inputs):
            continue
        operation = call.operation
        kind = type(operation).__name__
        if kind == "Embedding":
            yield operation.input_dim
        elif kind == "CategoryEncoding":
            yield operation.num_tokens
        elif kind in _KEEPS_NUMBERS:
            yield from _rows(model, call.outputs[0])
        elif _graph.is_graph(operation):
            place = next(i for i, entry in enumerate(call.inputs) if entry is tensor)
            yield from _rows(operation, operation.inputs[place])


def random_inputs(
    model: keras.Model,
    shapes: list[tuple],
    samples: int = 1,
    input_range: tuple[float, float] = (0.0, 1.0),
    make: Callable[[tuple, float, float], np.ndarray] | None = None,
) -> list[np.ndarray]:
    """Returns an array for each input, within the numbers that it accepts.

    Args:
        model: The Keras model.
        shapes: Shape of one sample of each input.
        samples: Number of samples.
        input_range: Range of ordinary real inputs.
        make: Function of a shape and a range that returns an array. The default draws numbers.
    """
    make = make or (lambda shape, low, high: np.random.default_rng(0).uniform(low, high, shape))
    arrays = []
    for tensor, shape, numbers in zip(
        model.inputs, shapes, accepted(model, input_range), strict=True
    ):
        array = make((samples, *shape), numbers.low, numbers.high)
        if numbers.whole:
            array = np.clip(np.round(array), numbers.low, numbers.high)
        arrays.append(array.astype(tensor.dtype))
    return arrays


def signed_inputs(
    model: keras.Model, shapes: list[tuple], numbers: list[Accepted], samples: int
) -> list[np.ndarray] | None:
    """Returns inputs of both signs, or `None` if the model takes none.

    Whole numbers that do not index a table go beyond the ordinary ones, if the model runs.

    Args:
        model: The Keras model.
        shapes: Shape of one sample of each input.
        numbers: Result of `accepted`.
        samples: Number of samples.
    """
    generator = np.random.default_rng(1)
    arrays, further = [], False
    for tensor, shape, entry in zip(model.inputs, shapes, numbers, strict=True):
        size = (samples, *shape)
        if not entry.whole:
            array = generator.normal(size=size) * max(abs(entry.low), abs(entry.high))
        elif entry.rows is None and tensor.dtype.startswith("int"):
            array, further = generator.integers(-9, 10, size), True
        else:
            array = generator.integers(int(entry.low), int(entry.high) + 1, size)
        arrays.append(array.astype(tensor.dtype))
    if all(entry.whole for entry in numbers) and not further:
        return None
    return arrays if not further or _runs(model, arrays) else None


def _runs(model, arrays):
    try:
        keras_model.call(model, [keras.ops.convert_to_tensor(array) for array in arrays])
    except Exception:  # A layer that refuses numbers may raise any class.
        return False
    return True


def rows_of_tables(
    model: keras.Model, shapes: list[tuple], numbers: list[Accepted]
) -> list[np.ndarray]:
    """Returns inputs in which each row of each table is an index, or `MOST_SAMPLES` samples.

    Args:
        model: The Keras model.
        shapes: Shape of one sample of each input.
        numbers: Result of `accepted`.
    """
    sizes = [max(1, math.prod(shape)) for shape in shapes]
    needed = [-(-(entry.rows or 1) // size) for entry, size in zip(numbers, sizes, strict=True)]
    samples = min(MOST_SAMPLES, max(needed))
    arrays = random_inputs(model, shapes, samples)
    for index, entry in enumerate(numbers):
        if entry.rows is not None:
            count = arrays[index].size
            rows = np.arange(count) * max(1, entry.rows // count) % entry.rows
            arrays[index] = rows.reshape(arrays[index].shape).astype(arrays[index].dtype)
    return arrays
