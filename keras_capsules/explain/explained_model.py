"""A model that returns what it saw along with its scores."""

import keras

from keras_capsules._graph import ends, is_graph
from keras_capsules.attention import CapsuleSqueezeExcitation
from keras_capsules.attention.base import AttentionLayer
from keras_capsules.explain.evidence import Capsules, evidence_map
from keras_capsules.layers import CapsuleLayer, CapsuleLength, CapsuleMask, ConvCapsule2D

EXPLANATIONS = ("scores", "poses", "activations", "coupling", "map", "reconstruction", "gates")


def explained_model(
    model, outputs=("scores", "poses", "coupling"), layer: str | None = None
) -> keras.Model:
    """Copies a trained model into one that returns explanations, without training it again.

    Args:
        model: Functional or sequential `keras.Model`, of the zoo or of your own, with a
            `CapsuleLayer` or with layers of the attention family. It stays as it is.
        outputs: Names of what the copy returns, some of
            `"scores"`: the model's output of that name, or its only one;
            `"poses"`, `(batch, num_out, dim)`, of the capsule layer;
            `"activations"`, `(batch, num_out)`: those that its routing computes, or the lengths;
            `"coupling"`, `(batch, num_in, num_out)`: how much each child's vote counts;
            `"map"`, `(batch, height, width)`: which parts of the image speak for the longest, or
            most active, capsule and which against it, see `coupling_map`;
            `"reconstruction"`: what the decoder makes of the longest capsule, with no label asked
            for;
            `"gates"`: those of each attention layer, and of `CapsuleSqueezeExcitation`, a
            dictionary by the layer's name.
        layer: Name of the `CapsuleLayer` to explain, or of a `ConvCapsule2D` whose one window is
            the whole grid; or `None`, the default, for the last one.

    Returns:
        A functional `keras.Model` with the model's inputs, as far as they are still needed, and a
        dictionary of these outputs. It holds copies of the weights.

    Raises:
        ValueError: If the model has not what one of `outputs` needs.

    Example:

    >>> model = keras_capsules.create_model("efficient_capsnet", with_decoder=True)
    >>> explained = keras_capsules.explain.explained_model(model, ["scores", "coupling"])
    >>> found = explained(keras.ops.zeros((1, 28, 28, 1)))
    >>> found["scores"].shape, found["coupling"].shape
    ((1, 10), (1, 16, 10))
    """
    unknown = [name for name in outputs if name not in EXPLANATIONS]
    if unknown or not outputs:
        raise ValueError(
            f"`outputs` must be some of {', '.join(EXPLANATIONS)}. Received: outputs={outputs}"
        )
    copy, recorder = recorded_copy(model)
    name = layer or next(reversed(recorder.capsules), None)
    capsules = recorder.capsules.get(name)
    available = recorder.available(copy, capsules)
    missing = [name for name in outputs if name not in available]
    if missing:
        raise ValueError(
            f"The model {model.name!r} has no {', '.join(missing)}; it has "
            f"{', '.join(available)}. Poses, coupling and map need a CapsuleLayer, a "
            "reconstruction a decoder behind a CapsuleMask, gates a layer of the attention family. "
            f"Received: outputs={list(outputs)}, layer={layer!r}"
        )
    if "map" in outputs:
        available["map"] = evidence_map(capsules, recorder.capsules)
    return submodel(copy, {name: available[name] for name in outputs})


def recorded_copy(model):
    """Copies a model, with its weights, so that what its layers say of themselves is noted.

    Returns:
        The copy, and a record with `capsules`, the `Capsules` by the name of their layer.

    Raises:
        ValueError: If the model's graph is not known.
    """
    if not is_graph(model) or not model.built:
        raise ValueError(
            "Explanations are read off a functional or sequential model that knows its shapes. "
            f"Received: {type(model).__name__} {getattr(model, 'name', model)!r}"
        )
    recorder = _Recorder()
    copy = keras.models.clone_model(
        keras.Model(*ends(model), name=model.name), call_function=recorder.call
    )
    copy.set_weights(model.get_weights())
    return copy, recorder


def submodel(copy, outputs, more_inputs=()):
    """Returns the model of these outputs, and of those inputs alone that they are computed from."""
    needed = _origins(keras.tree.flatten(outputs))
    inputs = [x for x in (*copy.inputs, *more_inputs) if id(x) in needed]
    by_name = {x._keras_history.operation.name: x for x in inputs}
    return keras.Model(inputs[0] if len(inputs) == 1 else by_name, outputs, name=copy.name)


class _Recorder:
    """Calls the layers of a copy so that they give their explanations, and notes these."""

    def __init__(self):
        self.capsules = {}  # by the layer's name
        self.gates = {}
        self.reconstructs = False

    def call(self, layer, *args, **kwargs):
        if isinstance(layer, CapsuleMask):
            self.reconstructs = True
            return layer(args[0])  # Without labels, which nobody knows beforehand.
        if isinstance(layer, (CapsuleLayer, ConvCapsule2D)):
            kwargs.pop("return_coupling", None)
            outputs, coupling = layer(*args, return_coupling=True, **kwargs)
            if isinstance(layer, CapsuleLayer) or _has_one_cell(layer.fields):
                self.capsules[layer.name] = _capsules(layer, args[0], outputs, coupling)
            return outputs
        if isinstance(layer, (AttentionLayer, CapsuleSqueezeExcitation)):
            outputs, self.gates[layer.name] = layer(*args, return_gates=True, **kwargs)
            return outputs
        return layer(*args, **kwargs)

    def available(self, copy, capsules):
        """Returns the explanations that the copy can give, by name; the map is yet to be made."""
        found = {}
        outputs = copy.output if isinstance(copy.output, dict) else {}
        if len(copy.outputs) == 1 or "scores" in outputs:
            found["scores"] = outputs.get("scores", copy.outputs[0])
        if self.reconstructs and "reconstruction" in outputs:
            found["reconstruction"] = outputs["reconstruction"]
        if capsules is not None:
            names = ("poses", "activations", "coupling")
            found |= {name: getattr(capsules, name) for name in names} | {"map": None}
        if self.gates:
            found["gates"] = self.gates
        return found


def _has_one_cell(fields):
    """Whether the one window of a convolution is the whole grid."""
    return fields.unchanged and len(fields.positions) == fields.window_size


def _capsules(layer, inputs, outputs, coupling):
    poses, activations = outputs if isinstance(outputs, (tuple, list)) else (outputs, None)
    if isinstance(layer, ConvCapsule2D):  # Of one cell.
        poses = keras.ops.reshape(poses, (-1, *poses.shape[3:]))
        coupling = keras.ops.reshape(coupling, (-1, *coupling.shape[3:]))
        if activations is not None:
            activations = keras.ops.reshape(activations, (-1, activations.shape[3]))
    if activations is None:
        activations = CapsuleLength(name=f"{layer.name}_activations")(poses)
    return Capsules(layer, inputs, poses, activations, coupling)


def _origins(tensors):
    """Returns the identities of all tensors that these are computed from."""
    seen, pending = set(), list(tensors)
    while pending:
        tensor = pending.pop()
        if id(tensor) not in seen:
            seen.add(id(tensor))
            operation, index, _ = tensor._keras_history
            pending.extend(operation._inbound_nodes[index].input_tensors)
    return seen
