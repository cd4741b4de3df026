"""Finds the first Keras layer that a file computes differently, and measures its local error."""

import functools
import re
from collections.abc import Callable
from dataclasses import dataclass, replace

import keras
import numpy as np
import onnx
import onnx.utils

from export import keras_model
from export.compare.outputs import Candidate
from export.compare.run import probe_session, run_keras, run_onnx, session
from export.compare.suites import Suite, SuiteSet
from export.compare.tolerance import WITHOUT_FLOAT64, scale_of
from export.results import LayerError
from keras_capsules import _graph

_SURE = 1e-3
"""Largest difference, as a share of the values' spread, at which a layer is surely recognised."""


@dataclass(frozen=True)
class Divergence:
    """The layers in which a file and its model differ.

    Attributes:
        suite: The inputs of the worst comparison.
        layers: A `LayerError` for each layer. Empty if onnxruntime cannot run the file.
        first: The first layer, or routing iteration, that differs, or `None`.
    """

    suite: Suite
    layers: list[LayerError]
    first: str | None


def divergence(
    model: keras.Model,
    candidate: Candidate,
    raw_names: dict[str, str],
    suites: SuiteSet,
    trace: Callable[[Suite, list[str]], dict[str, np.ndarray]],
) -> Divergence:
    """Finds the layers in which a file differs from its model, on the worst comparison's inputs.

    Args:
        model: The Keras model.
        candidate: The file and its comparisons.
        raw_names: The converter's names for the file's values.
        suites: All inputs.
        trace: Function that returns TensorFlow's values for such names, if it knows them.
    """
    worst = candidate.worst
    suite = suites.find(worst.suite).around(worst.sample)
    if worst.error:
        return Divergence(suite, [], _failing_layer(worst.error))
    errors = layer_errors(model, candidate.file, suite, local=True)
    values = all_values(candidate.file, model, suite)
    trace_names = functools.partial(trace, suite)
    first = first_divergence(errors, candidate.file, values, raw_names, trace_names)
    return Divergence(suite, errors, first)


@dataclass(frozen=True)
class Placed:
    """The layers of a model, and the places of their outputs in its file.

    Attributes:
        calls: The calls of the layers, in order.
        truth: The model's values by the identity of their tensors.
        values: The file's values by name.
        names: Names of the file's values by the identity of the model's tensors, where known.
        sure: Identities of the tensors whose values agree.
        errors: A `LayerError` for each call.
    """

    calls: list[_graph.Call]
    truth: dict[int, np.ndarray]
    values: dict[str, np.ndarray]
    names: dict[int, str]
    sure: set[int]
    errors: list[LayerError]


def placed_layers(model: keras.Model, file: onnx.ModelProto, suite: Suite) -> Placed:
    """Runs a model and its file on a suite, and finds the layers' values in the file.

    Args:
        model: The Keras model.
        file: The canonical file, whose nodes have the names of the layers.
        suite: Inputs.
    """
    calls = _graph.calls_in_order(model.inputs, model.outputs)
    tensors = [tensor for call in calls for tensor in call.outputs]
    truth = dict(zip(map(id, model.inputs), suite.inputs, strict=True))
    if tensors:  # Else the outputs are inputs.
        probe = keras.Model(model.inputs, tensors)
        truth.update(zip(map(id, tensors), run_keras(probe, suite), strict=True))
    values = all_values(file, model, suite)
    names = dict(zip(map(id, model.inputs), keras_model.input_names(model), strict=True))
    placed = Placed(calls, truth, values, names, set(names), [])
    ends = dict(zip(map(id, model.outputs), keras_model.output_names(model), strict=True))
    for call in calls:
        placed.errors.append(_layer_error(call, file, placed, ends))
    return placed


def layer_errors(
    model: keras.Model, file: onnx.ModelProto, suite: Suite, local: bool = False
) -> list[LayerError]:
    """Compares each Keras layer with the file's values that are named after the layer.

    Args:
        model: The Keras model.
        file: The canonical file, whose nodes have the names of the layers.
        suite: Inputs.
        local: Boolean. Whether to measure `LayerError.local` too.
    """
    placed = placed_layers(model, file, suite)
    if not local:
        return placed.errors
    errors = []
    for call, error in zip(placed.calls, placed.errors, strict=True):
        if error.differs:
            truth, names = placed.truth, placed.names
            needed = {names.get(id(tensor)): truth[id(tensor)] for tensor in call.inputs}
            expected = {names[id(tensor)]: truth[id(tensor)] for tensor in call.outputs}
            error = replace(error, local=_local_error(file, placed.values, needed, expected))
        errors.append(error)
    return errors


def _layer_error(call, file, placed, ends):
    """Compares one call of a layer, and records which values of the file are its outputs.

    Args:
        call: The `keras_capsules._graph.Call`.
        file: The canonical file.
        placed: The `Placed` to complete.
        ends: Names of the model's outputs by the identity of their tensors.
    """
    name = call.operation.name
    within = [node.output[0] for node in file.graph.node if node.name.split("/")[0] == name]
    has_names = isinstance(call.operation, keras.layers.Layer)
    max_abs, largest = None, 0.0
    for tensor in map(id, call.outputs):
        truth = placed.truth[tensor]
        candidates = within if has_names else _only_alike(truth, placed.values)
        candidates = [ends[tensor]] if tensor in ends else candidates
        values = {key: placed.values[key] for key in candidates}
        value, difference = _last_alike(truth, values) or _closest(truth, values)
        if value is None:
            break
        placed.names[tensor] = value
        if _alike(truth, difference):
            placed.sure.add(tensor)
        max_abs = max(max_abs or 0.0, difference)
        largest = max(largest, _allowed(truth))
    return LayerError(name, max_abs, allowed=largest)


def _failing_layer(error: str) -> str | None:
    """Returns the layer or routing iteration of the node that onnxruntime could not run."""
    node = re.search(r"Name:'([^']+)'", error)
    return node and node.group(1).rpartition("/")[0]


def first_divergence(
    errors: list[LayerError],
    file: onnx.ModelProto,
    values: dict[str, np.ndarray],
    raw_names: dict[str, str],
    trace: Callable[[list[str]], dict[str, np.ndarray]],
) -> str | None:
    """Names the first layer and routing iteration that the file computes differently.

    Args:
        errors: Errors of the layers.
        file: The canonical file.
        values: The file's values by name.
        raw_names: The converter's names for them.
        trace: Function that returns TensorFlow's values for such names, if it knows them.

    Returns:
        `"layer"`, `"layer/routing_2"`, or `None` if no layer differs. If layers before it are not
        in the file, such as a convolution that was merged with its normalization, the first one may
        be any of them: `"a or b"`.
    """
    suspects = []
    for error in errors:
        if error.differs:
            iteration = _first_iteration(error.layer, file, values, raw_names, trace)
            return iteration or " or ".join([*suspects, error.layer])
        suspects = [*suspects, error.layer] if error.max_abs is None else []
    return None


def _first_iteration(layer, file, values, raw_names, trace):
    """Returns the routing iteration in which the layer first differs from TensorFlow, if any."""
    nodes = [node for node in file.graph.node if node.name.startswith(f"{layer}/")]
    if not any(re.search(r"/routing_\d+/", node.name) for node in nodes):
        return None
    truth = trace([raw_names[node.output[0]] for node in nodes])
    for node in nodes:
        expected = truth.get(raw_names[node.output[0]])
        if expected is not None:
            name = node.output[0]
            if not _closest(expected, {name: values[name]})[1] <= _allowed(expected):
                iteration = re.match(r"[^/]+/routing_\d+", node.name)
                return iteration and iteration.group()
    return None


def all_values(file: onnx.ModelProto, model: keras.Model, suite: Suite) -> dict[str, np.ndarray]:
    """Returns every value of the file's graph by name, with optimizations off."""
    runner, names = probe_session(file)
    outputs = run_onnx(runner, model, names, suite)
    values = dict(zip(names, outputs, strict=True))
    return values | dict(zip(keras_model.input_names(model), suite.inputs, strict=True))


def _alike(truth, difference):
    """Returns whether values with such a difference are surely the same ones."""
    # Among small or nearly constant values any other value would be as close.
    if not difference <= WITHOUT_FLOAT64 * scale_of(truth):
        return False
    return difference <= _SURE * float(np.nan_to_num(truth.astype("float64")).std()) > 0


def _only_alike(truth, values):
    """Returns the name of the only value that is surely the expected one, if there is only one.

    Operations such as a sum have the numbers of their names from elsewhere than the file's nodes.
    """
    found = [name for name, value in values.items() if _alike(truth, _distance(truth, value))]
    return found if len(found) == 1 else []


def _distance(truth, value):
    return _closest(truth, {"": value})[1]


def _last_alike(truth, values):
    """Returns the name and the difference of the last value that is surely the expected one.

    Earlier iterations of a routing may give the same on these inputs, and not on others.
    """
    closest = (_closest(truth, {name: value}) for name, value in reversed(values.items()))
    return next((found for found in closest if found[0] and _alike(truth, found[1])), None)


def _closest(expected, values):
    """Returns the name of the value closest to the expected one, and the largest difference."""
    best = None, np.inf
    for name, value in values.items():
        value = in_layout_of(expected, value)
        if value is not None:
            difference = np.subtract(value, expected, dtype="float64")  # For booleans too.
            difference = float(np.abs(difference).max(initial=0.0))
            if best[0] is None or not difference > best[1]:
                best = name, difference
    return best


def in_layout_of(expected: np.ndarray, value: np.ndarray) -> np.ndarray | None:
    """Returns the value with channels last, or `None` if its shape fits neither layout."""
    for candidate in (value, np.moveaxis(value, 1, -1) if value.ndim > 2 else value):
        if candidate.shape == expected.shape:
            return candidate
    return None


def _allowed(expected):
    return WITHOUT_FLOAT64 * max(1.0, scale_of(expected))


def _local_error(file, values, needed, expected):
    """Returns the error of the part of the file between given inputs and expected outputs."""
    if None in needed:
        return None
    feeds = {
        name: array if values[name].shape == array.shape else np.moveaxis(array, -1, 1)
        for name, array in needed.items()
    }
    typed = onnx.shape_inference.infer_shapes(file)
    try:
        part = onnx.utils.Extractor(typed).extract_model(list(feeds), list(expected))
        outputs = session(part, optimize=False, threads=1).run(list(expected), feeds)
    except Exception:  # The part was merged with its neighbours. The errors share no other class.
        return None
    differences = map(_closest, expected.values(), ({"": array} for array in outputs))
    return max(difference for _, difference in differences)
