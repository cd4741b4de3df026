"""Copies a model, and measures its capsules on a few samples."""

from typing import Any, NamedTuple

import keras
import numpy as np
from keras import ops

from keras_capsules._graph import name_of
from keras_capsules.explain._recording import Recording, recorded_copy, submodel
from keras_capsules.layers import CapsuleLength
from keras_capsules.layers.primary_capsule import PrimaryCapsule
from keras_capsules.layers.voting import VotingLayer, split_pair
from keras_capsules.metrics.coupling import entropies
from keras_capsules.ops import at_least_float32


class Seen(NamedTuple):
    """What a layer of capsules does with a few samples.

    Attributes:
        activations: Array `(samples, capsules)`.
        entropy: Float, of `CouplingEntropy`, or `None` where nothing is divided.
    """

    activations: np.ndarray
    entropy: float | None


class WatchedModel:
    """A copy of a model that also returns what its layers of capsules do.

    Args:
        model: The `keras.Model`. It is not changed.
        x: Samples, as the model takes them.

    Attributes:
        layers: The layers of capsules by their names, in the order of the calls.

    Raises:
        ValueError: If the model has no capsules, or is neither functional nor sequential.
    """

    def __init__(self, model: keras.Model, x: Any):
        self._recording = _Layers()
        self._copy, _ = recorded_copy(model, self._recording)
        self.layers = self._recording.layers
        if not self.layers:
            raise ValueError(
                "CapsuleHealth watches layers of capsules, such as CapsuleLayer or "
                f"PrimaryCapsule2D. Use it for a model with such layers. Received: {model.name!r}, "
                "which has none."
            )
        outputs = {"layers": self._recording.outputs}
        named = self._copy.output if isinstance(self._copy.output, dict) else {}
        if len(self._copy.outputs) == 1 or "scores" in named:
            outputs["scores"] = named.get("scores", self._copy.outputs[0])
        self._explained = submodel(self._copy, outputs)
        self._x = _inputs(self._copy, self._explained, x)

    def look(self) -> tuple[dict[str, Seen], np.ndarray | None]:
        """Returns what each layer does with the model's current weights, and the scores."""
        self._recording.copies.copy_weights()
        found: Any = self._explained.predict_on_batch(self._x)
        seen = {name: _seen(*found["layers"][name]) for name in self.layers}
        return seen, found.get("scores")


class _Layers(Recording):
    """Calls the layers of a copy, and stores what all its capsules return."""

    def __init__(self):
        super().__init__()
        self.layers = {}
        self.outputs = {}

    def call(self, layer, *args, **kwargs):
        if isinstance(layer, PrimaryCapsule):
            outputs = layer(*args, **kwargs)
            self._store(layer, outputs)
            return outputs
        if isinstance(layer, VotingLayer):
            asked = kwargs.pop("return_coupling", False)
            outputs, coupling = layer(*args, return_coupling=True, **kwargs)
            self._store(layer, outputs, coupling)
            return (outputs, coupling) if asked else outputs
        return super().call(layer, *args, **kwargs)

    def _store(self, layer, outputs, coupling=None):
        poses, activations = split_pair(outputs)
        if activations is None:
            activations = CapsuleLength(name=f"{layer.name}_activations")(poses)
        self.layers[layer.name] = layer
        self.outputs[layer.name] = (activations,)
        if coupling is not None and coupling.shape[-1] > 1:
            coupling = ops.abs(at_least_float32(coupling))  # That of `self_attention` has signs.
            if len(coupling.shape) > 3:  # A convolution has cells, which become samples.
                coupling = ops.reshape(coupling, (-1, *coupling.shape[-2:]))
            self.outputs[layer.name] += entropies(coupling)


def _seen(activations, values=None, counted=None):
    activations = np.asarray(activations, "float32").reshape(len(activations), -1)
    if values is None or counted is None:
        return Seen(activations, None)
    return Seen(activations, float(np.sum(values * counted) / max(np.sum(counted), 1.0)))


def _inputs(copy, explained, x):
    """Returns those of the samples `x` of a model that another model of its inputs takes."""
    if isinstance(x, dict) and isinstance(copy.input, dict):
        by_name = {name_of(tensor): x[key] for key, tensor in copy.input.items() if key in x}
    elif isinstance(x, dict):
        by_name = x
    else:
        names = [name_of(tensor) for tensor in copy.inputs]
        by_name = dict(zip(names, keras.tree.flatten(x), strict=True))
    needed = [name_of(tensor) for tensor in explained.inputs]
    if not set(needed) <= set(by_name):
        raise ValueError(
            f"CapsuleHealth needs samples for the inputs {', '.join(needed)}. "
            f"Received: x with {', '.join(by_name)}"
        )
    if len(needed) == 1:
        return by_name[needed[0]]
    return {name: by_name[name] for name in needed}
