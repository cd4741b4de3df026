"""Turns models without a graph, such as subclassed ones, into functional models."""

import inspect
from collections.abc import Callable, Iterator, Mapping
from typing import Any

import keras

from export.errors import ConversionError
from keras_capsules import _graph


def has_open_graph(model: keras.Model) -> bool:
    """Returns whether a model is functional or sequential, with inputs for batches of any size."""
    inputs = getattr(model, "inputs", None)
    return bool(inputs) and all(x.shape is None or x.shape[:1] in ((), (None,)) for x in inputs)


def functional_forms(
    model: keras.Model, input_shapes: Any = None
) -> Iterator[Callable[[], keras.Model]]:
    """Yields the ways to make a functional model that computes what a model without a graph does.

    The first one has the model's layers, and the operations between them. The second one has the
    model as its only layer, and can therefore hold code that Keras cannot record.

    Args:
        model: `keras.Model`.
        input_shapes: Shapes of the inputs without the batch axis, as in `ExportOptions`. The
            default are the shapes that the model was built on.

    Raises:
        ConversionError: If the shapes are not known.
    """
    inputs: Any = _inputs(model, input_shapes)
    names = inspect.signature(model.call).parameters
    by_name = isinstance(inputs, dict) and set(inputs) <= set(names) and len(inputs) > 1
    for call in (model.call, model):
        yield lambda call=call: keras.Model(
            inputs, call(**inputs) if by_name else call(inputs), name=model.name
        )


def _inputs(model, input_shapes):
    """Returns an input, or a structure of inputs."""
    if input_shapes is None and getattr(model, "inputs", None):
        return keras.tree.map_structure(
            lambda x: keras.Input(x.shape[1:], dtype=x.dtype, name=_graph.name_of(x)),
            _graph.ends(model)[0],
        )

    def make(path, shape):
        name = "_".join(map(str, path)) if any(isinstance(key, str) for key in path) else None
        if isinstance(shape, keras.InputSpec):
            return keras.Input(shape.shape[1:], dtype=shape.dtype, name=name)
        return keras.Input(shape, name=name)

    return _map_shapes(make, _built_shapes(model) if input_shapes is None else input_shapes)


def _built_shapes(model):
    """Returns the shapes that a model was built on, without the batch axis."""
    shapes = (model.get_build_config() or {}).get("input_shape") if model.built else None
    if shapes is None:
        raise ConversionError(
            f"The model {model.name!r} is a {type(model).__name__}, whose inputs are not known "
            "before it is called. Call it once on data, or pass the shape of one sample: "
            "input_shapes=(28, 28, 1), --input-shapes 28,28,1, or for several inputs "
            "input_shapes={'image': (28, 28, 1), 'tokens': (None,)}."
        )
    return _map_shapes(lambda _, shape: tuple(shape[1:]), shapes)


def _map_shapes(function, structure, path=()):
    """Applies a function to the path and the value of each shape in a structure of shapes."""
    if isinstance(structure, Mapping):
        return {k: _map_shapes(function, v, (*path, k)) for k, v in structure.items()}
    is_shape = isinstance(structure, keras.InputSpec) or all(
        size is None or isinstance(size, int) for size in structure
    )
    if is_shape:
        return function(path, structure)
    return [_map_shapes(function, v, (*path, i)) for i, v in enumerate(structure)]
