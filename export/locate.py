"""Where a file and its model part: the first Keras layer, and what it does wrong by itself."""

import re
from collections.abc import Callable
from dataclasses import dataclass

import keras
import numpy as np
import onnx
import onnx.utils

from export import parity, source
from export.suites import Suite, run_keras


@dataclass
class LayerError:
    """How far a part of the file is from the Keras layer that it comes from.

    Attributes:
        layer: Name of the layer.
        max_abs: Largest absolute difference of the layer's outputs in the file from those in the
            model: what it was given wrong and what it does wrong together. `None` where the file
            does not hold such an output, as of a layer that was folded into another.
        local: The same where the part of the file is given what the model's layer is given; close
            to zero if the error is inherited. Measured where the layer differs, and `None` where
            the file does not hold these inputs.
        allowed: Largest absolute difference that counts as rounding.
    """

    layer: str
    max_abs: float | None = None
    local: float | None = None
    allowed: float = 0.0

    @property
    def differs(self) -> bool:
        """Whether the file holds the layer's outputs, and they are others."""
        return self.max_abs is not None and not self.max_abs <= self.allowed


def layer_errors(
    model: keras.Model, file: onnx.ModelProto, suite: Suite, local: bool = False
) -> list[LayerError]:
    """Compares each Keras layer with the values that the file names after it.

    Args:
        model: The Keras model.
        file: Its canonical file, whose nodes carry the names of the layers.
        suite: Inputs.
        local: Boolean. Whether to measure `LayerError.local` too.
    """
    calls = _calls(model)
    tensors = [tensor for _, _, outputs in calls for tensor in outputs]
    truth = dict(zip(map(id, model.inputs), suite.inputs, strict=True))
    probe = keras.Model(model.inputs, tensors)
    truth.update(zip(map(id, tensors), run_keras(probe, suite), strict=True))
    values = all_values(file, model, suite)
    places = dict(zip(map(id, model.inputs), source.input_names(model), strict=True))
    ends = dict(zip(map(id, model.outputs), source.output_names(model), strict=True))
    errors = []
    for name, inputs, outputs in calls:
        within = [node.output[0] for node in file.graph.node if node.name.split("/")[0] == name]
        error = LayerError(name)
        for tensor in map(id, outputs):
            expected = truth[tensor]
            held = [ends[tensor]] if tensor in ends else within
            place, difference = _closest(expected, {value: values[value] for value in held})
            if place is None:
                break
            places[tensor] = place
            error.max_abs = max(error.max_abs or 0.0, difference)
            error.allowed = max(error.allowed, _allowed(expected))
        errors.append(error)
        if local and error.differs:
            needed = {places.get(id(tensor)): truth[id(tensor)] for tensor in inputs}
            expected = {places[id(tensor)]: truth[id(tensor)] for tensor in outputs}
            error.local = _local_error(file, values, needed, expected)
    return errors


def failing_node(error: str) -> str | None:
    """Returns the layer, or routing iteration, of the node that onnxruntime could not run."""
    node = re.search(r"Name:'([^']+)'", error)
    return node and node.group(1).rpartition("/")[0]


def first_divergence(
    errors: list[LayerError],
    file: onnx.ModelProto,
    values: dict[str, np.ndarray],
    raw_names: dict[str, str],
    trace: Callable[[list[str]], dict[str, np.ndarray]],
) -> str | None:
    """Names the first layer, and routing iteration, that the file computes otherwise.

    Args:
        errors: Those of the layers.
        file: The canonical file.
        values: Its values by name.
        raw_names: The converter's names for them.
        trace: Function that returns the values of TensorFlow for such names, as far as it knows
            them.

    Returns:
        `"layer"`, or `"layer/routing_2"`, or `None` where no layer differs. Where layers before it
        are not in the file, as a convolution into which its normalization was folded, any of
        them may be it: `"a or b"`.
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


def _calls(model):
    """Returns name, inputs and outputs of each layer's calls, in an order in which they can run."""
    calls, seen = [], set(map(id, model.inputs))

    def visit(tensor):
        operation, index, _ = tensor._keras_history
        node = operation._inbound_nodes[index]
        if id(tensor) in seen:
            return
        for needed in node.input_tensors:
            visit(needed)
        seen.update(map(id, node.output_tensors))
        calls.append((operation.name, node.input_tensors, node.output_tensors))

    for tensor in model.outputs:
        visit(tensor)
    return calls


def all_values(file: onnx.ModelProto, model: keras.Model, suite: Suite) -> dict[str, np.ndarray]:
    """Returns every value of the file's graph by name, optimizations off."""
    probe = onnx.ModelProto()
    probe.CopyFrom(file)
    names = sorted({name for node in file.graph.node for name in node.output if name})
    del probe.graph.output[:]
    probe.graph.output.extend(map(onnx.helper.make_empty_tensor_value_info, names))
    session = parity.session(probe, "ORT_DISABLE_ALL", 1)
    values = dict(zip(names, parity.run_onnx(session, model, names, suite), strict=True))
    return values | dict(zip(source.input_names(model), suite.inputs, strict=True))


def _closest(expected, values):
    """Returns the name of the value closest to what is expected, and the largest difference."""
    best = None, np.inf
    for name, value in values.items():
        value = _in_layout_of(expected, value)
        if value is not None:
            difference = np.subtract(value, expected, dtype="float64")  # Of booleans too.
            difference = float(np.abs(difference).max(initial=0.0))
            if best[0] is None or not difference > best[1]:
                best = name, difference
    return best


def _in_layout_of(expected, value):
    """Returns the value channels last, or `None` where it is neither that nor channels first."""
    for candidate in (value, np.moveaxis(value, 1, -1) if value.ndim > 2 else value):
        if candidate.shape == expected.shape:
            return candidate
    return None


def _allowed(expected):
    return parity.allowed_difference(None, parity.scale_of(expected))


def _local_error(file, values, needed, expected):
    """Returns the error of the part of the file between values that are given and expected."""
    if None in needed:
        return None
    feeds = {
        name: array if values[name].shape == array.shape else np.moveaxis(array, -1, 1)
        for name, array in needed.items()
    }
    typed = onnx.shape_inference.infer_shapes(file)
    try:
        part = onnx.utils.Extractor(typed).extract_model(list(feeds), list(expected))
        found = parity.session(part, "ORT_DISABLE_ALL", 1).run(list(expected), feeds)
    except Exception:  # It was merged with its neighbours; onnxruntime's errors share no class.
        return None
    differences = map(_closest, expected.values(), ({"": array} for array in found))
    return max(difference for _, difference in differences)
