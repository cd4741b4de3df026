"""Decides between which numbers the inputs of a model lie, which a device scales pixels to."""

from collections.abc import Mapping

import keras
import numpy as np

from export import keras_model
from export.admit.scaling import PIXELS, UNIT, USUAL, range_by_layers
from export.errors import UsageError
from export.options import ExportOptions

_DARKEST = 16  # Pixels of data reach at least this.
_FAR = 32  # Ranges whose largest numbers differ by this factor are not of the same data.


def input_range(
    model: keras.Model, options: ExportOptions, data: Mapping[str, np.ndarray] | None
) -> tuple[float, float]:
    """Returns the inputs for a black and a white pixel.

    They are given, or the first layers tell them, or the data. Without all of these they are 0 and
    1.

    Args:
        model: Functional or sequential model, without the preprocessing of the options.
        options: Options of the export.
        data: Real inputs of this model by name, or `None`.

    Raises:
        UsageError: If these contradict each other, so that the device would scale pixels wrongly.
    """
    given, tensor = options.input_range, _scaled_input(model)
    if tensor is None:
        return given or UNIT
    by_layers, layer = range_by_layers(model, tensor) or (None, "")
    if options.preprocess:
        return _with_preprocessing(options, by_layers, layer)
    found = _range_of_data(np.asarray(data[keras_model.input_names(model)[0]])) if data else None
    if given is not None:
        if found is None and by_layers is not None and _are_far(given, by_layers):
            raise _contradiction(
                f"the layer {layer!r} scales inputs of {_words(by_layers)}",
                f"the option says {_words(given)}",
                f"Leave out {_flag(given)}, or pass data in this range as well if the model was "
                "trained like this",
            )
        if found is not None and _is_image(tensor) and not _contains(given, found):
            raise _contradiction(
                f"the data lie in {_words(found)}",
                f"the option says {_words(given)}",
                f"Pass {_flag(found)}, or data as the model was trained on",
            )
        return given
    if by_layers and found and _are_far(by_layers, found):
        raise _contradiction(
            f"the layer {layer!r} scales inputs of {_words(by_layers)}",
            f"the data lie in {_words(found)}",
            f"Pass data of {_words(by_layers)}, or {_flag(found)} if the model was trained like "
            "this",
        )
    return by_layers or found or UNIT


def _with_preprocessing(options, by_layers, layer):
    """Returns the range in front of mean and deviation, which the file will apply."""
    scaled = options.mean is not None or options.std is not None
    if options.input_range is None and not scaled:
        return by_layers or UNIT
    limits = options.limits
    mean, std = (np.asarray(options.preprocessing[name]) for name in ("mean", "std"))
    ends = (np.array(limits)[:, None] - mean) / std
    fed = (float(ends.min()), float(ends.max()))
    fits = by_layers is None or not _are_far(fed, by_layers)
    if not fits or (scaled and by_layers is not None and not _contains(by_layers, fed)):
        raise _contradiction(
            f"the layer {layer!r} scales inputs of {_words(by_layers)}",
            f"the preprocessing would make {_words(fed)} of pixels",
            "Leave out --input-range, --mean and --std, because the model does this",
        )
    return limits


def _scaled_input(model):
    """Returns the only input if a device would scale its pixels, else `None`."""
    tensor = model.inputs[0]
    floats = len(model.inputs) == 1 and "float" in tensor.dtype
    return tensor if floats and len(tensor.shape or ()) > 1 else None


def _is_image(tensor):
    return len(tensor.shape) == 4 and tensor.shape[-1] in (1, 3)


def _range_of_data(array):
    """Returns the usual range of data, else their smallest and largest number."""
    numbers = array[np.isfinite(array)]
    if not numbers.size or numbers.min() == numbers.max():
        return None
    low, high = float(numbers.min()), float(numbers.max())
    for limits in USUAL:
        slack = (limits[1] - limits[0]) / 10  # Resizing overshoots.
        dark = limits == PIXELS and high < _DARKEST
        if limits[0] - slack <= low and high <= limits[1] + slack and not dark:
            return limits
    return low, high


def _contains(limits, others):
    """Returns whether others lie about in a range, and are not a small part of it."""
    slack = (limits[1] - limits[0]) / 2
    inside = limits[0] - slack <= others[0] and others[1] <= limits[1] + slack
    return inside and not _are_far(limits, others)


def _are_far(limits, others):
    a, b = (max(map(abs, ends)) for ends in (limits, others))
    return max(a, b) > _FAR * min(a, b)


def _contradiction(one, other, remedy):
    return UsageError(f"It is not clear which inputs the model takes: {one}, but {other}. {remedy}")


def _words(limits):
    return f"{limits[0]:g} to {limits[1]:g}"


def _flag(limits):
    low, high = (f"{limit:g}" for limit in limits)
    return f"--input-range {low} {high} (in Python: input_range=({low}, {high}))"
