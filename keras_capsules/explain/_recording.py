"""Copies a model, and records the results of its capsule and attention layers."""

import functools
from collections.abc import Iterable
from typing import Any, NamedTuple

import keras
import numpy as np
from keras import ops

from keras_capsules._graph import calls_in_order, ends, is_graph, name_of, run, upstream
from keras_capsules.attention.gated_layer import GatedLayer
from keras_capsules.layers import CapsuleLayer, CapsuleLength, CapsuleMask
from keras_capsules.layers._convolution import ConvCapsule
from keras_capsules.layers.voting import split_pair


class Capsules(NamedTuple):
    """One call of a layer of capsules, as tensors of the graph.

    Attributes:
        layer: The layer.
        inputs: Poses, or the pair of poses and activations, that the layer was called on.
        poses: `(batch, num_out, dim)`.
        activations: `(batch, num_out)`.
        coupling: `(batch, num_in, num_out)`.
    """

    layer: Any
    inputs: Any
    poses: Any
    activations: Any
    coupling: Any


class Recording:
    """Calls the layers of a copy with explanations, and stores these.

    Attributes:
        capsules: Dictionary of `Capsules` by the name of the layer, in the order of the calls.
        gates: Dictionary of the gates of each attention layer by its name: a tensor, or a tuple.
        has_decoder: Whether there is a `CapsuleMask`.
        copies: The copies of the layers.
    """

    copies: "_Copies"

    def __init__(self):
        self.capsules: dict[str, Capsules] = {}
        self.gates: dict[str, Any] = {}
        self.has_decoder = False

    def capsules_of(self, layer: str | None) -> Capsules | None:
        """Returns the `Capsules` of a layer by its name, or without a name of the last layer."""
        return self.capsules.get(layer or next(reversed(self.capsules), ""))

    def call(self, layer: Any, *args: Any, **kwargs: Any) -> Any:
        """Calls a layer as its model does, except that a `CapsuleMask` gets no labels."""
        if isinstance(layer, CapsuleMask):
            self.has_decoder = True
            return layer(args[0])  # Labels are unknown when a model explains what it sees.
        if isinstance(layer, (CapsuleLayer, ConvCapsule)):
            asked = kwargs.pop("return_coupling", False)
            outputs, coupling = layer(*args, return_coupling=True, **kwargs)
            if isinstance(layer, CapsuleLayer) or _has_one_cell(layer.fields):
                self.capsules[layer.name] = _capsules(layer, args[0], outputs, coupling)
            return (outputs, coupling) if asked else outputs
        if isinstance(layer, GatedLayer):
            asked = kwargs.pop("return_gates", False)
            outputs, gates = layer(*args, return_gates=True, **kwargs)
            self.gates[layer.name] = gates
            return (outputs, gates) if asked else outputs
        return layer(*args, **kwargs)


def recorded_copy(
    model: keras.Model, recording: Recording | None = None, images: np.ndarray | None = None
) -> tuple[keras.Model, Recording]:
    """Copies a model with its weights, and records the explanations of its layers.

    The layers of nested models become layers of the copy. In the copy a `CapsuleMask` gets no
    labels, so a decoder sees the longest capsule. An input for labels stays, and nothing depends
    on it.

    Args:
        model: Functional or sequential `keras.Model`. It is not changed.
        recording: A new `Recording`, or `None` for one of this class.
        images: Array whose sizes replace open ones of the model's inputs, or `None`.

    Returns:
        The copy, and its `Recording`.

    Raises:
        ValueError: If the model's graph is not known.
    """
    if not is_graph(model) or not model.built:
        raise ValueError(
            "Explanations are read off a functional or sequential model that knows its shapes. "
            f"Received: {type(model).__name__} {getattr(model, 'name', model)!r}"
        )
    recording = recording or Recording()
    recording.copies = _Copies(model)

    def call(layer, *args, **kwargs):
        if is_graph(layer):
            return run(layer, args[0], call)
        return recording.call(recording.copies.of(layer), *args, **kwargs)

    inputs = keras.tree.map_structure(functools.partial(_input, images), ends(model)[0])
    copy = keras.Model(inputs, run(model, inputs, call), name=model.name)
    recording.copies.copy_weights()
    return copy, recording


class _Copies:
    """Copies of the layers of a model and of the models inside it, made as they are asked for."""

    def __init__(self, model):
        calls = calls_in_order(model.inputs, model.outputs)
        # A layer of a nested model gets another name if its name is that of another layer.
        self._by_name = {call.operation.name: call.operation for call in calls}
        self._pairs = {}

    def of(self, layer):
        """Returns the copy of a layer, the same one for each call."""
        if id(layer) not in self._pairs:
            config, name = layer.get_config(), layer.name
            while self._by_name.setdefault(name, layer) is not layer:
                name = f"{name}_inside"
            if name != layer.name:
                config["name"] = name
            self._pairs[id(layer)] = layer, type(layer).from_config(config)
        return self._pairs[id(layer)][1]

    def copy_weights(self):
        """Gives the copies the current weights of their layers."""
        for layer, copy in self._pairs.values():
            if isinstance(layer, keras.layers.Layer):
                copy.set_weights(layer.get_weights())
            if isinstance(layer, keras.layers.Normalization):
                copy.finalize_state()  # The layer computes with copies of its weights.


def _input(images, tensor):
    shape = tensor.shape
    if images is not None and None in shape[1:] and len(shape) == images.ndim:
        shape = (shape[0], *images.shape[1:])
    return keras.Input(batch_shape=shape, dtype=tensor.dtype, name=name_of(tensor))


def submodel(copy: keras.Model, outputs: Any, more_inputs: Iterable = ()) -> keras.Model:
    """Returns the model of these outputs, with only the inputs that they depend on."""
    needed = {id(x) for x in upstream(keras.tree.flatten(outputs))}
    inputs = [x for x in (*copy.inputs, *more_inputs) if id(x) in needed]
    by_name = {name_of(x): x for x in inputs}
    return keras.Model(inputs[0] if len(inputs) == 1 else by_name, outputs, name=copy.name)


def check_one_input(model: keras.Model, outputs: Any) -> None:
    """Raises if these outputs of a copied model do not depend on exactly one of its inputs."""
    names = [name_of(tensor) for tensor in submodel(model, outputs).inputs]
    if len(names) != 1:
        raise ValueError(
            "This explains a model of one input. For several, build the map into the model, "
            "keras_capsules.explain.explained_model(model, ['map']), and call that. "
            f"Received: {model.name!r} with the inputs {names}"
        )


def class_indices(class_index: Any, scores: np.ndarray) -> np.ndarray:
    """Returns an index for each row of scores: the one given, or that of the highest score.

    Raises:
        ValueError: If an index is not that of a class, or there is not one for each row.
    """
    if class_index is None:
        return scores.argmax(axis=1)
    rows, count = scores.shape
    given = np.asarray(class_index)
    if given.shape not in ((), (rows,)) or given.min() < 0 or given.max() >= count:
        raise ValueError(
            f"`class_index` must be from 0 to {count - 1}, one or one for each of {rows} inputs. "
            f"Received: class_index={class_index}"
        )
    return np.broadcast_to(given, rows)


def _has_one_cell(fields):
    """Returns whether the one window of a convolution is the whole grid."""
    return fields is not None and fields.unchanged and len(fields.positions) == fields.window_size


def _capsules(layer, inputs, outputs, coupling):
    poses, activations = split_pair(outputs)
    if isinstance(layer, ConvCapsule):  # Of one cell.
        first = 1 + layer.rank
        poses = ops.reshape(poses, (-1, *poses.shape[first:]))
        coupling = ops.reshape(coupling, (-1, *coupling.shape[first:]))
        if activations is not None:
            activations = ops.reshape(activations, (-1, activations.shape[first]))
    if activations is None:
        activations = CapsuleLength(name=f"{layer.name}_activations")(poses)
    return Capsules(layer, inputs, poses, activations, coupling)
