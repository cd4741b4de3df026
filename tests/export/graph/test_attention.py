"""The attention family in one model: one conversion, one comparison."""

import keras
import onnx
import pytest
from conftest import once

import export
from keras_capsules import CapsuleSqueezeExcitation, attention

pytestmark = pytest.mark.usefixtures("warm_conversions")


def convolution(name):
    return keras.layers.Conv2D(16, 3, padding="same", name=name)


@once
def test_every_attention_exports(tmp_path, generator):
    """Between convolutions none leaves a transpose: the one is that of the model's input."""
    image, poses = keras.Input((8, 6, 3), name="image"), keras.Input((6, 4), name="poses")
    capsules, gates = CapsuleSqueezeExcitation(name="layer_capsule")(poses, return_gates=True)
    outputs = {"capsules": capsules, "capsule_gates": gates}
    for name in attention.ATTENTIONS:
        x = convolution(f"before_{name}")(image)
        x = convolution(f"after_{name}")(attention.get(name, name=f"layer_{name}")(x))
        outputs[name] = keras.layers.GlobalAveragePooling2D(name=f"pool_{name}")(x)
    model = keras.Model({"image": image, "poses": poses}, outputs)
    for weight in model.weights:  # As if trained: no zeros, which hide what they multiply.
        weight.assign(weight + generator.uniform(0.02, 0.1, size=weight.shape))
    report = export.export_onnx(model, tmp_path / "model.onnx")
    assert report.passed
    nodes = onnx.load(tmp_path / "model.onnx").graph.node
    operations = [node.op_type for node in nodes]
    assert not set(operations) & {"Loop", "If", "Einsum", "Where", "Shape", "Gather"}
    transposes = [node.name for node in nodes if node.op_type == "Transpose"]
    assert len(transposes) == 1, transposes
    for name in (*attention.ATTENTIONS, "capsule"):
        assert any(node.name.startswith(f"layer_{name}/") for node in nodes), name


@once
def test_squeeze_excitation_adds_no_transpose(tmp_path):
    transposes = []
    for layers in ([], [attention.get("se", gate_activation="hard_sigmoid")]):
        image = keras.Input((8, 6, 3), name="image")
        x = keras.Sequential([convolution("first"), *layers, convolution("second")])(image)
        report = export.export_onnx(keras.Model(image, x), tmp_path / f"{len(layers)}.onnx")
        assert report.passed
        transposes.append(report.file.operations["Transpose"])
    assert transposes[0] == transposes[1] == 2  # Of the input and of the output.
