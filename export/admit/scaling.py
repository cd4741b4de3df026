"""Reads from the first layers of a model which inputs it takes, such as pixels from 0 to 255."""

import keras
import numpy as np

from keras_capsules import _graph

UNIT, PIXELS = (0.0, 1.0), (0.0, 255.0)
USUAL = (UNIT, (-1.0, 1.0), PIXELS)
"""Ranges in which images are usually kept."""

_SCALES = ("Add", "Divide", "Multiply", "Normalization", "Rescaling", "Subtract", "TrueDivide")
_KEEPS_VALUES = (
    "Cast",
    "CenterCrop",
    "Dropout",
    "ExpandDims",
    "Flatten",
    "Identity",
    "Permute",
    "Reshape",
    "Resizing",
    "ZeroPadding1D",
    "ZeroPadding2D",
)
_NEAR = 0.05
_WIDTHS = (0.25, 16.0)  # Of standardized values.


def range_by_layers(
    model: keras.Model, tensor: keras.KerasTensor
) -> tuple[tuple[float, float], str] | None:
    """Returns the range of an input by the layers that scale it first, and the name of the first.

    Layers that scale turn usual inputs into 0 to 1, -1 to 1 or standardized values. The range is
    the usual one for which they do that. Where they scale each feature differently, it reaches two
    standard deviations to each side.

    Args:
        model: Functional or sequential model.
        tensor: One of its inputs.

    Returns:
        The range and the name, or `None` if no layer tells.
    """
    found = _first_scales(model, tensor)
    if found is None:
        return None
    scale, offset = (np.ravel(values).astype("float64") for values in found[:2])
    if not np.isfinite([*scale, *offset]).all() or not scale.all():
        return None
    sizes = np.abs(scale)
    is_image = len(tensor.shape) == 4
    if not is_image and sizes.max() > 4 * sizes.min():
        ends = (np.array([[-2.0], [2.0]]) - offset) / scale
        limits = (float(ends.min()), float(ends.max()))
    else:
        limits = _usual(float(np.median(scale)), float(np.median(offset)), is_image)
    return None if limits is None else (limits, found[2])


def _usual(scale, offset, is_image):
    """Returns the range that a factor and a summand are made for, or `None`."""
    if _is_near((scale, 1 + offset), (1.0, 1.0)):
        return None
    images = {limits: sorted(scale * end + offset for end in limits) for limits in USUAL}
    for limits, image in images.items():
        if any(_is_near(image, usual) for usual in USUAL if usual != limits):
            return limits
    centred = {
        limits: high - low
        for limits, (low, high) in images.items()
        if abs(high + low) <= 2 * (high - low)
    }
    standardized = [x for x, width in centred.items() if _WIDTHS[0] <= width <= _WIDTHS[1]]
    if standardized or (is_image and offset and centred):  # The mean alone is subtracted.
        return (standardized or list(centred))[0]
    return None if offset or scale < 0 else (0.0, max(1.0, float(f"{1 / scale:.6g}")))


def _is_near(ends, others):
    width = others[1] - others[0] or 1.0
    return all(abs(a - b) <= _NEAR * width for a, b in zip(ends, others, strict=True))


def _first_scales(model, tensor):
    """Returns factor, summand and first layer of the scaling of a tensor, or `None`."""
    if not tensor.shape[1:]:
        return None
    for call in _graph.calls_in_order(model.inputs, model.outputs):
        if not any(entry is tensor for entry in call.inputs) or len(call.inputs) != 1:
            continue
        operation, found = call.operation, None
        if _graph.is_graph(operation):
            found = _first_scales(operation, operation.inputs[0])
        elif type(operation).__name__ in _SCALES:
            return (*_factor_and_summand(model, tensor), operation.name)
        if found is None and _keeps_values(operation):
            found = _first_scales(model, call.outputs[0])
        if found is not None:
            return found
    return None


def _keeps_values(operation):
    if _graph.is_graph(operation):
        return all(map(_keeps_values, operation.layers))
    kind = type(operation).__name__
    return kind in (*_KEEPS_VALUES, "InputLayer") or kind.startswith("Random")


def _factor_and_summand(model, tensor):
    """Returns what the layers that scale a tensor, one after the other, make of 0 and 1."""
    shape = [1, *(size or 1 for size in tensor.shape[1:])]
    values = [keras.ops.full(shape, value, "float32") for value in (0, 1)]
    calls, before = _graph.calls_in_order(model.inputs, model.outputs), None
    while tensor is not before:
        before = tensor
        for call in calls:
            scales = type(call.operation).__name__ in _SCALES and len(call.inputs) == 1
            if scales and call.inputs[0] is tensor:
                values = [_graph.evaluate(call.outputs[0], {id(tensor): x}) for x in values]
                tensor = call.outputs[0]
                break
    zero, one = map(keras.ops.convert_to_numpy, values)
    return one - zero, zero
