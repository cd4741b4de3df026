"""Every routing in one model: one conversion, one comparison."""

import keras
import onnx
import pytest
from conftest import once

import export
from keras_capsules import (
    CapsuleLayer,
    ConvCapsule1DTranspose,
    ConvCapsule2D,
    ConvCapsule2DTranspose,
    routing,
)

pytestmark = pytest.mark.usefixtures("warm_conversions")


@once
def test_every_routing_exports(tmp_path):
    poses = keras.Input((9, 5), name="poses")
    logits = keras.Input((9,), name="logits")
    activations = keras.layers.Activation("sigmoid")(logits)
    outputs = {}
    for name in sorted(routing.ROUTINGS):
        layer = CapsuleLayer(3, 4, routing=name, name=f"layer_{name}")
        explicit = layer.routing.explicit_activations
        parents, coupling = layer((poses, activations) if explicit else poses, return_coupling=True)
        outputs[name] = parents[0] if explicit else parents
        outputs[f"{name}_coupling"] = coupling
        if explicit:
            outputs[f"{name}_activations"] = parents[1]
    model = keras.Model({"poses": poses, "logits": logits}, outputs)
    report = export.export_onnx(model, tmp_path / "model.onnx")
    assert report.passed
    assert not set(report.file.operations) & {"Loop", "If", "Einsum", "Where", "Reciprocal"}
    names = {node.name for node in onnx.load(tmp_path / "model.onnx").graph.node}
    for name in routing.ROUTINGS:
        assert any(node.startswith(f"layer_{name}/") for node in names), name


@once
def test_transposed_capsules_export(tmp_path):
    row, logits = keras.Input((3, 2, 4), name="row"), keras.Input((3, 2), name="logits")
    activations = keras.layers.Activation("sigmoid")(logits)
    sizes = {"kernel_size": 3, "strides": 2, "padding": "same"}
    outputs = {}
    for name in sorted(routing.ROUTINGS):
        layer = ConvCapsule1DTranspose(3, 4, routing=name, name=f"layer_{name}", **sizes)
        explicit = layer.routing.explicit_activations
        parents = layer((row, activations) if explicit else row)
        outputs[name] = keras.layers.Flatten()(parents[0] if explicit else parents)
    grid = keras.layers.Reshape((3, 1, 2, 4))(row)
    for layer in (ConvCapsule2D, ConvCapsule2DTranspose):
        grid = layer(2, 4, transform="convolution", **sizes)(grid)
    outputs["convolution"] = grid
    model = keras.Model({"row": row, "logits": logits}, outputs)
    report = export.export_onnx(model, tmp_path / "model.onnx")
    assert report.passed
    assert not set(report.file.operations) & {"Loop", "If", "Einsum", "Where", "Reciprocal"}
