"""Models with inserted blocks compute what they should, train, and can be saved and exported."""

import keras
import numpy as np
import pytest
from conftest import once, run_python, to_numpy
from keras import layers
from reference import attention as reference

import export
from keras_capsules import attention, insert_attention
from tests.surgery.residual import assert_kept, inserted, perturb, residual

PREDICT = """
import sys
import numpy as np
import keras_capsules
import keras
model = keras.models.load_model(sys.argv[1])
np.save(sys.argv[3], model.predict(np.load(sys.argv[2]), verbose=0))
"""


@pytest.mark.parametrize(
    "shortcut_first, shortcut", [(True, "identity"), (False, "identity"), (False, "projection")]
)
def test_values_of_a_residual_block(generator, shortcut_first, shortcut):
    """Against the two branches of the old model and an independent squeeze-and-excitation."""
    model = residual(shortcut_first, shortcut)
    perturb(model, generator)
    before = model.get_weights()
    copy = insert_attention(model, attention.get("se", reduction_ratio=2))
    assert inserted(model, copy) == ["b_bn_se"]
    assert_kept(model, copy)
    perturb(copy.get_layer("b_bn_se"), generator)
    stem = "stem" if shortcut == "identity" else "shortcut_bn"
    branches = [model.get_layer(name).output for name in (stem, "b_bn")]
    image = generator.normal(size=(3, 6, 6, 3)).astype("float32")
    stem, branch = keras.Model(model.input, branches).predict_on_batch(image)
    weights = copy.get_layer("b_bn_se").weights
    weights = {"/".join(w.path.split("/")[-2:]): to_numpy(w.value) for w in weights}
    expected = reference.relu(stem + reference.se(branch, weights)[0])
    np.testing.assert_allclose(copy.predict_on_batch(image), expected, atol=1e-5)
    for weight in copy.weights:
        weight.assign(weight + 1)
    for old, new in zip(before, model.get_weights(), strict=True):
        np.testing.assert_array_equal(old, new)


def test_training_reaches_the_blocks(generator):
    model = residual()
    copy = insert_attention(model, attention.get("se", reduction_ratio=1))
    copy.compile(keras.optimizers.SGD(0.1), "mse")
    before = [to_numpy(weight.value) for weight in copy.trainable_weights]
    image = generator.normal(size=(8, 6, 6, 3)).astype("float32")
    target = generator.normal(size=(8, 6, 6, 4)).astype("float32")
    first, last = copy.train_on_batch(image, target), copy.train_on_batch(image, target)
    assert last < first
    block = copy.get_layer("b_bn_se")
    assert len(block.trainable_weights) == 4
    for weight, old in zip(copy.trainable_weights, before, strict=True):
        if weight.path.startswith("b_bn_se/"):
            assert np.abs(to_numpy(weight.value) - old).max() > 0, weight.path


@once
def test_masks_reach_the_blocks(generator):
    sequence = keras.Input((None, 3), name="sequence")
    x = layers.Dense(4, name="dense")(layers.Masking()(sequence))
    copy = insert_attention(keras.Model(sequence, x), "se", after="dense")
    steps = generator.normal(size=(2, 5, 3)).astype("float32")
    steps[:, 3:] = 0  # Masked; the bias of the layer makes other values of them.
    perturb(copy, generator)
    whole, present = copy.predict_on_batch(steps), copy.predict_on_batch(steps[:, :3])
    np.testing.assert_allclose(whole[:, :3], present, atol=1e-6)


@pytest.mark.slow
@once
def test_saving_and_exporting(tmp_path, generator):
    model = insert_attention(residual(), "se")
    perturb(model, generator)
    image = generator.normal(size=(2, 6, 6, 3)).astype("float32")
    model.save(tmp_path / "model.keras")
    np.save(tmp_path / "image.npy", image)
    paths = [tmp_path / name for name in ("model.keras", "image.npy", "output.npy")]
    run_python("-c", PREDICT, *paths)
    np.testing.assert_allclose(np.load(paths[2]), model(image), atol=1e-6)
    assert export.export_onnx(model, tmp_path / "model.onnx").passed
