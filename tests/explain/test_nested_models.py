"""Explanations go through nested models, take any size, and locate evidence in sequences."""

import keras
import numpy as np
import pytest
from conftest import small_capsnet
from keras import layers

import keras_capsules
from keras_capsules import (
    CapsuleLayer,
    CapsuleLength,
    ConvCapsule1D,
    PrimaryCapsule1D,
    PrimaryCapsule2D,
    explain,
)


def nested(model, twice=False):
    """Puts a model behind preprocessing, and into another one, whose layers have its names."""
    image = keras.Input(model.input.shape[1:], name="image")
    x = layers.Rescaling(1 / 2, name=model.layers[1].name)(image)
    inside = keras.Model(image, model(x), name="inside")
    if not twice:
        return inside
    return keras.Sequential([keras.Input(image.shape[1:]), inside], name="outside")


@pytest.mark.parametrize("twice", [False, True])
def test_maps_through_nested_models(generator, twice):
    model = small_capsnet()
    images = generator.random((3, *model.input.shape[1:])).astype("float32")
    outer = nested(model, twice)
    for explanation in (explain.coupling_map, explain.grad_cam):
        expected = explanation(model, images / 2)
        np.testing.assert_allclose(explanation(outer, images), expected, rtol=1e-4, atol=1e-6)
    before = explain.coupling_statistics(model, images / 2)
    after = explain.coupling_statistics(outer, images)
    assert list(before) == list(after)
    explained = explain.explained_model(outer, ["map", "coupling"])
    found = explained.predict(images, verbose=0)
    expected = explain.coupling_map(model, images / 2)
    np.testing.assert_allclose(found["map"], expected, rtol=1e-4, atol=1e-6)


def test_a_nested_model_called_twice_shares_its_weights(generator):
    block = keras.Sequential([keras.Input((8, 8, 2)), layers.Conv2D(2, 3, padding="same")])
    image = keras.Input((8, 8, 2))
    x = PrimaryCapsule2D(2, 4, 3)(block(block(image)))
    model = keras.Model(image, CapsuleLength()(CapsuleLayer(3, 4)(x)))
    explained = explain.explained_model(model, ["scores"])
    images = generator.random((2, 8, 8, 2)).astype("float32")
    found = explained.predict(images, verbose=0)["scores"]
    np.testing.assert_allclose(found, model.predict(images, verbose=0), rtol=1e-5)
    assert explained.count_params() == model.count_params()


def test_any_size_of_the_image(generator):
    def built(size):
        image = keras.Input((*size, 3))
        x = layers.Conv2D(4, 3, strides=2, activation="relu", name="stem")(image)
        x = PrimaryCapsule2D(2, 4, 3, name="primary")(x)
        x = CapsuleLayer(3, 4, share_weights=True, name="classes")(x)
        return keras.Model(image, CapsuleLength(name="scores")(x))

    whole, fixed = built((None, None)), built((13, 17))
    fixed.set_weights(whole.get_weights())
    images = generator.random((2, 13, 17, 3)).astype("float32")
    for explanation in (explain.coupling_map, explain.grad_cam):
        maps = explanation(whole, images)
        assert maps.shape == (2, 13, 17)
        np.testing.assert_allclose(maps, explanation(fixed, images), rtol=1e-4, atol=1e-6)


def sequence_model(kind):
    if kind == "tokens":
        start = keras.Input((12,), dtype="int32")
        x = layers.Embedding(20, 6, keras.initializers.RandomNormal(stddev=1))(start)
    else:
        start = x = keras.Input((12, 6))
    x = PrimaryCapsule1D(3, 4, 3, strides=1, name="primary")(x)
    if kind == "convolution":
        x = ConvCapsule1D(3, 4, kernel_size=10, name="classes")(x)
        x = layers.Reshape((3, 4))(x)
    else:
        x = CapsuleLayer(3, 4, name="classes")(x)
    return keras.Model(start, CapsuleLength(name="scores")(x))


@pytest.mark.parametrize("kind", ["signal", "tokens"])
def test_a_weight_for_each_step(generator, kind):
    """The shares of the steps are the parent's length, which no bias adds to."""
    model = sequence_model(kind)
    x = generator.integers(0, 20, (2, 12)) if kind == "tokens" else generator.random((2, 12, 6))
    maps = explain.coupling_map(model, x, class_index=1)
    assert maps.shape == (2, 12)
    lengths = model.predict(x.astype(model.input.dtype), verbose=0)[:, 1]
    np.testing.assert_allclose(maps.sum(axis=1), lengths, rtol=1e-4)
    assert explain.grad_cam(model, x).shape == (2, 12)


def test_a_step_without_content_has_no_share(generator):
    model = sequence_model("signal")
    x = generator.random((1, 12, 6)).astype("float32")
    x[:, 5] = 0
    assert (
        abs(explain.coupling_map(model, x)[0, 5])
        < 1e-6
        < np.abs(explain.coupling_map(model, x)).max()
    )


def test_the_one_window_of_a_convolution_over_a_sequence(generator):
    model = sequence_model("convolution")
    x = generator.random((2, 12, 6)).astype("float32")
    maps = explain.coupling_map(model, x)
    assert maps.shape == (2, 12) and np.isfinite(maps).all() and np.abs(maps).max() > 0


def test_an_image_as_a_sequence_has_no_map(generator):
    image = keras.Input((4, 4, 6))
    x = PrimaryCapsule1D(3, 4, 3)(layers.Reshape((16, 6))(image))
    model = keras.Model(image, CapsuleLength()(CapsuleLayer(3, 4)(x)))
    with pytest.raises(ValueError, match="cannot be located"):
        explain.coupling_map(model, generator.random((1, 4, 4, 6)))


def test_health_watches_nested_capsules(generator):
    model = nested(small_capsnet())
    model.compile("adam", keras_capsules.MarginLoss())
    x = generator.random((4, *model.input.shape[1:])).astype("float32")
    health = keras_capsules.callbacks.CapsuleHealth(x, np.eye(model.output.shape[1])[[0, 1, 2, 0]])
    history = model.fit(
        x, np.eye(model.output.shape[1])[[0, 1, 2, 0]], callbacks=[health], verbose=0
    )
    assert any("capsules" in key for key in history.history)


def test_maps_through_a_head_on_a_backbone(generator):
    """The shares of the cells below the head are the length of the class capsule."""
    image = keras.Input((12, 12, 3))
    backbone = keras.Model(image, layers.Conv2D(8, 3, padding="same")(image))
    model = keras_capsules.add_head(backbone, 4)
    images = generator.random((2, 12, 12, 3)).astype("float32")
    maps = explain.coupling_map(model, images, class_index=1)
    bias = model.get_layer("primary_capsules").weights[1]
    assert not np.any(keras.ops.convert_to_numpy(bias))
    lengths = model.predict(images, verbose=0)[:, 1]
    np.testing.assert_allclose(maps.sum(axis=(1, 2)), lengths, rtol=1e-4)
