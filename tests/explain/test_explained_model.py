"""What a model says beside its scores is what its layers say when they are asked one by one."""

import keras
import numpy as np
import pytest
from conftest import small_capsnet, to_numpy

import keras_capsules
from keras_capsules.explain import explained_model


@pytest.fixture
def images(generator):
    return generator.uniform(size=(3, 12, 12, 1)).astype("float32")


def test_explanations_of_a_capsule_network(images):
    model = small_capsnet(with_decoder=True)
    names = ["scores", "poses", "activations", "coupling", "reconstruction"]
    before = [weight.copy() for weight in model.get_weights()]
    explained = explained_model(model, names)
    found = to_numpy(explained(images))
    assert set(found) == set(names) and len(explained.inputs) == 1

    children = keras.Model(model.input["image"], model.get_layer("primary_capsules").output)(images)
    layer = model.get_layer("class_capsules")
    poses, coupling = to_numpy(layer(children, return_coupling=True))
    np.testing.assert_allclose(found["poses"], poses, atol=1e-6)
    np.testing.assert_allclose(found["coupling"], coupling, atol=1e-6)
    lengths = np.linalg.norm(poses, axis=-1)
    np.testing.assert_allclose(found["activations"], lengths, atol=1e-5)
    longest = np.eye(4, dtype="float32")[lengths.argmax(axis=1)]
    expected = to_numpy(model({"image": images, "label": longest}))
    np.testing.assert_allclose(found["scores"], expected["scores"], atol=1e-6)
    np.testing.assert_allclose(found["reconstruction"], expected["reconstruction"], atol=1e-6)

    for old, new in zip(before, model.get_weights(), strict=True):
        np.testing.assert_array_equal(old, new)
    assert layer.output.shape == (None, 4, 6)  # Still called once.


def test_explicit_activations_are_the_routings_own(images):
    inputs = keras.Input((12, 12, 1), name="image")
    x = keras_capsules.PrimaryCapsule2D(2, 4, 3, strides=4, explicit_activations=True)(inputs)
    poses, activations = keras_capsules.CapsuleLayer(3, 4, routing="em", name="caps")(x)
    model = keras.Model(inputs, keras.layers.Activation("linear", name="scores")(activations))
    found = to_numpy(explained_model(model, ["scores", "activations", "coupling"])(images))
    np.testing.assert_array_equal(found["activations"], found["scores"])
    np.testing.assert_allclose(found["coupling"].sum(axis=2), 1, atol=1e-5)


def test_gates_by_layer(generator):
    model = keras_capsules.create_model(
        "se_resnet20", input_shape=(12, 12, 1), filters=(4, 8), blocks=1
    )
    images = generator.uniform(size=(2, 12, 12, 1)).astype("float32")
    found = to_numpy(explained_model(model, ["scores", "gates"])(images))
    assert {name: gates.shape for name, gates in found["gates"].items()} == {
        "stage_1_block_1_se": (2, 4),
        "stage_2_block_1_se": (2, 8),
    }
    np.testing.assert_allclose(found["scores"], to_numpy(model(images)), atol=1e-6)
    layer = model.get_layer("stage_1_block_1_se")
    features = keras.Model(model.input, layer.input)(images)
    expected = to_numpy(layer(features, return_gates=True)[1])
    np.testing.assert_allclose(found["gates"]["stage_1_block_1_se"], expected, atol=1e-6)


def test_a_layer_by_name_and_saving(images, tmp_path):
    inputs = keras.Input((12, 12, 1), name="image")
    x = keras_capsules.PrimaryCapsule2D(2, 4, 3, strides=4)(inputs)
    x = keras_capsules.CapsuleLayer(5, 4, name="parts")(x)
    x = keras_capsules.CapsuleLayer(3, 4, name="wholes")(x)
    model = keras.Model(inputs, keras_capsules.CapsuleLength(name="scores")(x))
    parts = explained_model(model, ["coupling"], layer="parts")
    assert parts.output["coupling"].shape == (None, 18, 5)
    assert explained_model(model, ["coupling"]).output["coupling"].shape == (None, 5, 3)
    parts.save(tmp_path / "parts.keras")
    again = keras.models.load_model(tmp_path / "parts.keras")
    for name, array in to_numpy(parts(images)).items():
        np.testing.assert_allclose(to_numpy(again(images))[name], array, atol=1e-6)


def test_what_a_model_has_not(images):
    model = small_capsnet()
    with pytest.raises(ValueError, match="has no reconstruction; it has scores, poses"):
        explained_model(model, ["reconstruction"])
    with pytest.raises(ValueError, match="has no poses"):
        explained_model(model, ["poses"], layer="nowhere")
    with pytest.raises(ValueError, match="some of scores, poses"):
        explained_model(model, ["poses", "colours"])
    with pytest.raises(ValueError, match="functional or sequential"):
        explained_model(keras.Layer(), ["scores"])


def test_adapted_layers_and_layers_that_return_more(generator):
    """A copy normalizes as its model does, and gives what the model asks its layers for."""
    image = keras.Input((6, 5, 3), name="image")
    normalize = keras.layers.Normalization()
    normalize.adapt(generator.normal(3, 2, size=(20, 6, 5, 3)).astype("float32"))
    x, gates = keras_capsules.SqueezeExcitation(name="se")(normalize(image), return_gates=True)
    x = keras_capsules.PrimaryCapsule2D(2, 4, 3)(x)
    x, coupling = keras_capsules.CapsuleLayer(3, 4)(x, return_coupling=True)
    scores = keras_capsules.CapsuleLength(name="scores")(x)
    model = keras.Model(image, {"scores": scores, "gates": gates, "coupling": coupling})
    images = generator.normal(3, 2, size=(2, 6, 5, 3)).astype("float32")
    expected, found = to_numpy(model(images)), explained_model(model, ["scores", "gates"])
    found = to_numpy(found(images))
    np.testing.assert_allclose(found["scores"], expected["scores"], atol=1e-6)
    np.testing.assert_allclose(found["gates"]["se"], expected["gates"], atol=1e-6)
