"""Networks that label pixels: the paper's parameters, losses by pixel, sizes and files."""

import keras
import numpy as np
import pytest
from conftest import SMALL_OF_TASK, once

from keras_capsules import create_model, list_models
from keras_capsules.models import default_loss

NAMES = list_models(task="segmentation")
SMALL = SMALL_OF_TASK["segmentation"]


@once
def test_parameters_of_segcaps_and_of_its_equals():
    options = {"input_shape": (64, 64, 1)}
    capsules = create_model("segcaps", **options)
    weights = {}  # Counted by the paper's table: window * dim of children * types * dim of parents.
    for layer in capsules.layers:
        weights.setdefault(layer.name, layer.count_params())
    expected = {
        "features": 25 * 16 + 16,
        "primary_capsules": 25 * 16 * 2 * 16 + 2 * 16,
        "down_2_1": 25 * 16 * 4 * 16 + 4 * 16,
        "down_2_2": 25 * 16 * 4 * 32 + 4 * 32,
        "down_3_1": 25 * 32 * 8 * 32 + 8 * 32,
        "down_3_2": 25 * 32 * 8 * 64 + 8 * 64,
        "bottom": 25 * 64 * 8 * 32 + 8 * 32,
        "up_1_1": 16 * 32 * 8 * 32 + 8 * 32,
        "up_1_2": 25 * 32 * 4 * 32 + 4 * 32,
        "up_2_1": 16 * 32 * 4 * 16 + 4 * 16,
        "up_2_2": 25 * 16 * 4 * 16 + 4 * 16,
        "up_3_1": 16 * 16 * 2 * 16 + 2 * 16,
        "segmentation_capsules": 16 * 16 + 16,
    }
    assert {name: count for name, count in weights.items() if count} == expected
    assert capsules.count_params() == sum(expected.values()) == 1_416_112
    assert create_model("segcaps", with_decoder=True, **options).count_params() == 1_425_649
    counts = {name: create_model(name, **options).count_params() for name in ("unet", "se_unet")}
    assert counts == {"unet": 1_418_390, "se_unet": 1_419_796}


def pictures(generator, count=12):
    """Bright squares, dark squares and background, and their maps."""
    images = generator.uniform(0.4, 0.6, size=(count, 16, 16, 1)).astype("float32")
    masks = np.zeros((count, 16, 16), "int32")
    for number in range(count):
        top, left = generator.integers(9, size=2)
        place = (number, slice(top, top + 7), slice(left, left + 7))
        masks[place] = 1 + number % 2
        images[place] += 0.4 if number % 2 else -0.4
    return images, masks


# Torch need not compile the models.
TORCH = keras.backend.backend() == "torch"


@pytest.mark.skipif(TORCH, reason="the next test does more")
def test_a_step_of_segcaps(generator):
    images, masks = pictures(generator, 2)
    model = create_model("segcaps", routing="uniform", **SMALL)
    model.compile("adam", default_loss("segcaps"))
    before = model.train_on_batch(images, masks)
    assert model.train_on_batch(images, masks) < before


@pytest.mark.skipif(not TORCH, reason="torch need not compile the models")
@pytest.mark.parametrize("width", [4, 16])
def test_segcaps_starts_neither_dead_nor_saturated(generator, width):
    """Several classes are not learned from capsules of length one, nor through dead layers."""
    model = create_model("segcaps", **SMALL | {"width": width})
    capsules = [layer for layer in model.layers if hasattr(layer, "routing")]
    poses = keras.Model(model.input, [layer.output for layer in capsules]).predict(
        pictures(generator)[0], verbose=0
    )
    lengths = {
        layer.name: np.sqrt(np.sum(np.square(each), axis=-1)).mean()
        for layer, each in zip(capsules, poses, strict=True)
    }
    assert len(lengths) == 12
    assert 0.02 < min(lengths.values()) and max(lengths.values()) < 0.6, lengths


@pytest.mark.skipif(not TORCH, reason="torch need not compile the models")
@pytest.mark.parametrize("name", NAMES)
def test_training_file_and_open_size(generator, tmp_path, name):
    images, masks = pictures(generator)
    model = create_model(name, **SMALL)
    one_hot = np.eye(3, dtype="float32")[masks]
    model.compile(keras.optimizers.Adam(1e-2), default_loss(name))
    losses = model.fit(images, one_hot, epochs=8, verbose=0).history["loss"]
    assert losses[-1] < losses[0]
    scores = model.predict(images, verbose=0)
    assert scores.shape == (12, 16, 16, 3) and 0 <= scores.min() and scores.max() <= 1
    model.save(tmp_path / "model.keras")
    loaded = keras.models.load_model(tmp_path / "model.keras")
    np.testing.assert_allclose(loaded.predict(images, verbose=0), scores, atol=1e-5)
    opened = create_model(name, **SMALL | {"input_shape": (None, None, 1)})
    opened.set_weights(model.get_weights())
    np.testing.assert_allclose(opened.predict(images, verbose=0), scores, atol=1e-5)


@pytest.mark.skipif(not TORCH, reason="torch need not compile the models")
def test_segcaps_learns_one_class_with_its_decoder(generator):
    """The decoder draws the pixels of the class, from the labelled pixels alone."""
    images, masks = pictures(generator)
    label = (masks > 0)[..., None].astype("float32")
    model = create_model("segcaps", with_decoder=True, **SMALL | {"num_classes": 1})
    losses = {"scores": default_loss("segcaps"), "reconstruction": "mse"}
    model.compile(keras.optimizers.Adam(1e-2), losses)
    inputs = {"image": images, "label": label}
    targets = {"scores": label, "reconstruction": images * label}
    history = model.fit(inputs, targets, epochs=8, verbose=0).history["loss"]
    assert history[-1] < history[0]
    drawn = model.predict(inputs, verbose=0)["reconstruction"]
    moved = model.predict(inputs | {"label": 0 * label}, verbose=0)["reconstruction"]
    assert drawn.shape == images.shape and np.ptp(moved) < 1e-5
    np.testing.assert_allclose(drawn[masks == 0], moved[masks == 0], atol=1e-5)


@once
def test_features_and_one_class():
    shapes = {"segcaps": (None, 16, 16, 3, 4), "unet": (None, 16, 16, 4)}
    for name, shape in (shapes | {"se_unet": (None, 16, 16, 4)}).items():
        assert create_model(name, **SMALL, include_top=False).output_shape == shape
    model = create_model("unet", **SMALL | {"num_classes": 1})
    scores = model.predict(np.ones((1, 16, 16, 1)), verbose=0)
    assert scores.shape == (1, 16, 16, 1) and (scores < 1).all()  # A softmax would give ones.


@once
@pytest.mark.parametrize("name", NAMES)
def test_sizes_that_halving_and_doubling_miss_are_refused(name):
    for size in (60, 0):
        with pytest.raises(ValueError, match=rf"multiples of 8.*input_shape=\(64, {size}, 1\)"):
            create_model(name, input_shape=(64, size, 1))
    opened = create_model(name, **SMALL | {"input_shape": (None, None, 1)})
    with pytest.raises(ValueError, match=r"multiples of 8.*maps of"):
        opened(np.ones((1, 12, 16, 1)))
    with pytest.raises(ValueError, match="a number for each of 4 levels"):
        create_model("unet", filters=(4, 8))
    with pytest.raises(ValueError, match="explicit activations"):
        create_model("segcaps", routing="em")
