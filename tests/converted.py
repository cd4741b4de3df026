"""Converts a model in the process of a test, which takes tenths of a second."""

import keras
import onnx

from export import keras_model
from export.compare.accepted import random_inputs
from export.compare.open_axes import choose_open_axes
from export.convert.routes import to_raw_graph
from export.graph.canonical import to_canonical


def converted(
    model: keras.Model, opset: int = 17, allowed: tuple[str, ...] = ()
) -> onnx.ModelProto:
    """Returns the canonical file of a model, with names for open axes as an export gives them."""
    axes = choose_open_axes(model)
    results = []
    for sizes in axes.sizes:
        inputs = map(keras.ops.convert_to_tensor, random_inputs(model, axes.shapes(model, sizes)))
        outputs = keras_model.call(model, list(inputs))
        results.append((sizes, [tuple(output.shape) for output in outputs]))
    names = keras_model.input_names(model), keras_model.output_names(model)
    file, _ = to_canonical(
        to_raw_graph(model, opset, "tf2onnx"),
        dict(zip(names[0], axes.input_shapes(model, None), strict=True)),
        dict(zip(names[1], axes.output_shapes(model, None, results), strict=True)),
        keras_model.layer_names(model),
        {},
        allowed,
    )
    return file
