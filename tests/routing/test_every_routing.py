"""Each routing in `CapsuleLayer` and in `ConvCapsule2D`: config, step, file and export."""

import keras
import numpy as np
import pytest
from conftest import run_python

import export
from export.results import Kind
from keras_capsules import CapsuleLayer, ConvCapsule2D, PrimaryCapsule2D, routing

# `python -m benchmarks.routings` does it on each backend, and prints the differences.
pytestmark = pytest.mark.skipif(
    keras.backend.backend() != "torch", reason="torch need not compile the model"
)
LOAD = """
import sys, numpy as np, keras_capsules, keras
model = keras.models.load_model(sys.argv[1])
np.savez(sys.argv[2], **model.predict(np.load(sys.argv[3]), verbose=0))
"""


def build():
    """Returns a model with a head for each layer and routing, and the layer of each head."""
    image = keras.Input((9, 9, 1), name="image")
    primary = PrimaryCapsule2D(2, 4, 3, strides=2, activation=None, explicit_activations=True)
    primary.trainable = False  # A step of one head then changes nothing for the others.
    poses, activations = primary(image)
    layers, outputs = {}, {}
    for name in routing.ROUTINGS:
        dense = CapsuleLayer(3, 4, routing=name)
        windows = ConvCapsule2D(3, 4, kernel_size=3, padding="same", strides=2, routing=name)
        for kind, layer in (("dense", dense), ("windows", windows)):
            layers[f"{kind}_{name}"] = layer
            explicit = layer.routing.explicit_activations
            parents = layer((poses, activations) if explicit else poses)
            # Poses and activations, so that every weight has a part in the loss.
            parts = [keras.layers.Flatten()(part) for part in keras.tree.flatten(parents)]
            parts = keras.layers.Concatenate()(parts) if explicit else parts[0]
            head = keras.layers.Dense(3, activation="softmax", name=f"{kind}_{name}")
            outputs[head.name] = head(parts)
    return keras.Model(image, outputs), layers


def fit(model, optimizer, images, epochs):
    """Trains all heads on the same labels, and returns the losses of each before each step."""
    labels = np.eye(3, dtype="float32")[np.arange(len(images)) % 3]
    model.compile(optimizer, "categorical_crossentropy")
    targets = dict.fromkeys(model.output_names, labels)
    history = model.fit(images, targets, epochs=epochs, batch_size=len(images), verbose=0).history
    return {head: history[f"{head}_loss"] for head in model.output_names}


def test_config_step_file_and_export(generator, tmp_path):
    model, layers = build()
    assert len(layers) == 20
    for layer in layers.values():
        config = layer.get_config()
        assert type(layer).from_config(config).get_config() == config
    images = 2 * generator.uniform(size=(24, 9, 9, 1)).astype("float32")
    for head, (before, after) in fit(model, keras.optimizers.SGD(0.005), images, 2).items():
        assert after < before, head

    files = [tmp_path / name for name in ("model.keras", "loaded.npz", "images.npy")]
    model.save(files[0])
    np.save(files[2], images)
    run_python("-c", LOAD, *files, backend="torch")
    loaded, expected = np.load(files[1]), model.predict(images, verbose=0)
    for head in layers:
        np.testing.assert_allclose(loaded[head], expected[head], atol=1e-6, err_msg=head)

    report = export.export_onnx(model, tmp_path / "model.onnx")
    assert not set(report.file.operations) & {"Loop", "If", "Scan", "Einsum", "Where"}
    for comparison in report.comparisons:
        assert comparison.passed, comparison
        if comparison.suite.kind is Kind.RANDOM:
            assert comparison.max_abs <= 1e-5, comparison


@pytest.mark.parametrize("policy", ["mixed_float16", "mixed_bfloat16"])
def test_training_in_half_precision(generator, policy):
    before = keras.config.dtype_policy()
    keras.config.set_dtype_policy(policy)
    try:
        model, _ = build()
    finally:
        keras.config.set_dtype_policy(before)
    images = 2 * generator.uniform(size=(24, 9, 9, 1)).astype("float32")
    for head, losses in fit(model, keras.optimizers.Adam(1e-2), images, 6).items():
        assert np.isfinite(losses).all() and losses[-1] < losses[0], head
    for weight in model.weights:
        assert np.isfinite(keras.ops.convert_to_numpy(weight)).all(), weight.path
