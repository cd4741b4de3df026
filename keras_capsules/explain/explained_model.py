"""Makes a model that returns explanations along with its scores."""

from collections.abc import Sequence
from typing import Any

import keras

from keras_capsules.explain._evidence import evidence_map
from keras_capsules.explain._recording import Capsules, Recording, recorded_copy, submodel

EXPLANATIONS = ("scores", "poses", "activations", "coupling", "map", "reconstruction", "gates")


def explained_model(
    model: keras.Model,
    outputs: Sequence[str] = ("scores", "poses", "coupling"),
    layer: str | None = None,
) -> keras.Model:
    """Copies a trained model into one that returns explanations, without training it again.

    Args:
        model: Functional or sequential `keras.Model`, of the zoo or of your own, with a
            `CapsuleLayer` or with layers of the attention family. It is not changed.
        outputs: Names of the copy's outputs, some of
            `"scores"`: the model's output of that name, or its only one;
            `"poses"`, `(batch, num_out, dim)`, of the capsule layer;
            `"activations"`, `(batch, num_out)`: those that its routing computes, or the lengths;
            `"coupling"`, `(batch, num_in, num_out)`: how much each child's vote counts;
            `"map"`, `(batch, height, width)`: which parts of the image speak for the longest, or
            most active, capsule and which against it, see `coupling_map`;
            `"reconstruction"`: the decoder's image of the longest capsule, without a label;
            `"gates"`: those of each attention layer, and of `CapsuleSqueezeExcitation`, a
            dictionary by the layer's name.
        layer: Name of the `CapsuleLayer` to explain, or of a `ConvCapsule2D` whose one window is
            the whole grid; or `None`, the default, for the last one.

    Returns:
        A functional `keras.Model` with those of the model's inputs that are still needed, and a
        dictionary of these outputs. It has copies of the weights.

    Raises:
        ValueError: If the model lacks a layer that one of `outputs` needs.

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
    copy, recording = recorded_copy(model)
    capsules = recording.capsules_of(layer)
    found = available(copy, recording, capsules)
    missing = [name for name in outputs if name not in found]
    if missing:
        raise ValueError(
            f"The model {model.name!r} has no {', '.join(missing)}; it has {', '.join(found)}. "
            "Poses, coupling and map need a CapsuleLayer, a reconstruction a decoder behind a "
            "CapsuleMask, gates a layer of the attention family. "
            f"Received: outputs={list(outputs)}, layer={layer!r}"
        )
    if capsules is not None and "map" in outputs:
        found["map"] = evidence_map(capsules, recording.capsules)
    return submodel(copy, {name: found[name] for name in outputs})


def available(copy: keras.Model, recording: Recording, capsules: Capsules | None) -> dict[str, Any]:
    """Returns the explanations that a recorded copy can give, by name; the map is `None` as yet."""
    found = {}
    outputs = copy.output if isinstance(copy.output, dict) else {}
    if len(copy.outputs) == 1 or "scores" in outputs:
        found["scores"] = outputs.get("scores", copy.outputs[0])
    if recording.has_decoder and "reconstruction" in outputs:
        found["reconstruction"] = outputs["reconstruction"]
    if capsules is not None:
        names = ("poses", "activations", "coupling")
        found |= {name: getattr(capsules, name) for name in names} | {"map": None}
    if recording.gates:
        found["gates"] = recording.gates
    return found
