"""Evidence goes back through each type of layer by the function that is registered for the type."""

import inspect
import json

import keras
import numpy as np
import pytest
from conftest import small_capsnet, to_numpy
from keras import layers

from keras_capsules import CapsuleLayer, CapsuleLength, PrimaryCapsule1D, PrimaryCapsule2D
from keras_capsules.explain import coupling_map, explained_model, trace_back


def model_with(layer, generator):
    """A model whose map is exact: no biases, and a layer between the two levels of capsules."""
    image = keras.Input((9, 9, 1), name="image")
    x = layers.Reshape((-1, 4))(PrimaryCapsule2D(2, 4, 3, strides=2)(image))
    x = CapsuleLayer(3, 4, name="classes")(layer(x))
    model = keras.Model(image, CapsuleLength(name="scores")(x))
    for weight in model.weights:
        if weight.name != "bias":
            weight.assign(generator.normal(size=weight.shape))
    return model


def images(generator, size=(2, 9, 9, 1)):
    return generator.uniform(size=size).astype("float32")


class Scale(layers.Layer):
    def call(self, poses):
        return poses * 0.75


class OwnCapsules(CapsuleLayer):
    pass


def test_a_new_type_of_layer(generator):
    model, x = model_with(Scale(), generator), images(generator)
    with pytest.raises(ValueError, match="no place in the image.*register Scale"):
        coupling_map(model, x)

    @trace_back.register(Scale)
    def scale(layer, step):
        yield from step.follow(step.inputs[0], step.directions * 0.75)

    sums = coupling_map(model, x).sum(axis=(1, 2))
    np.testing.assert_allclose(sums, to_numpy(model(x)).max(axis=1), rtol=1e-4)


def test_a_subclass_is_followed_as_its_base(generator):
    model, x = model_with(OwnCapsules(5, 4), generator), images(generator)
    sums = coupling_map(model, x).sum(axis=(1, 2))
    np.testing.assert_allclose(sums, to_numpy(model(x)).max(axis=1), rtol=1e-4)


def test_only_capsules_side_by_side_are_taken_apart(generator):
    """Poses that are joined component by component are no poses of the layers before."""

    def twice(x):
        return layers.Concatenate(axis=2)([x, x])

    with pytest.raises(ValueError, match="'concatenate.*no place in the image"):
        coupling_map(model_with(twice, generator), images(generator))


def test_layers_take_no_argument_for_explanations():
    for layer_class in (CapsuleLayer, PrimaryCapsule1D, PrimaryCapsule2D):
        assert "toward" not in inspect.signature(layer_class.call).parameters
        assert "toward" not in layer_class.__doc__
    arguments = list(inspect.signature(CapsuleLayer.call).parameters)
    assert arguments == ["self", "inputs", "mask", "return_coupling", "training"]


def test_a_copied_map_has_its_own_weights(generator):
    explained, x = explained_model(small_capsnet(), ["map"]), images(generator, (2, 12, 12, 1))
    copy = keras.models.clone_model(explained)
    copy.set_weights(explained.get_weights())
    expected = to_numpy(explained(x))["map"]
    for weight in explained.weights:
        weight.assign(weight * 0)
    np.testing.assert_allclose(to_numpy(copy(x))["map"], expected, atol=1e-6)
    assert np.ptp(expected) > 1e-4


def as_older_files_store_it(config):
    """Returns the config of a model with a map, with the map's parts as calls of the layers."""
    by_name = {layer["name"]: layer for layer in config["layers"]}
    renamed = []
    for name, stored in list(by_name.items()):
        if stored["class_name"] not in ("ChildDirections", "CellShares"):
            continue
        inputs, poses, *rest = stored["inbound_nodes"][0]["args"]
        owner = poses["config"]["keras_history"][0]
        toward = [poses, *rest] if stored["class_name"] == "ChildDirections" else rest[0]
        node = {"args": [inputs], "kwargs": {"toward": toward}}
        by_name[owner]["inbound_nodes"].append(node)
        config["layers"].remove(stored)
        renamed.append((f'["{name}", 0, 0]', f'["{owner}", 1, 0]'))
    text = json.dumps(config)
    for new, old in renamed:
        text = text.replace(new, old)
    assert renamed and "ChildDirections" not in text
    return json.loads(text)


def test_maps_of_older_files(generator):
    explained, x = explained_model(small_capsnet(), ["map"]), images(generator, (2, 12, 12, 1))
    config = as_older_files_store_it(json.loads(explained.to_json())["config"])
    loaded = keras.Model.from_config(config)
    loaded.set_weights(explained.get_weights())
    np.testing.assert_allclose(to_numpy(loaded(x))["map"], to_numpy(explained(x))["map"], atol=1e-6)


def test_half_precision(generator):
    model = small_capsnet()
    weights, x = model.get_weights(), images(generator, (2, 12, 12, 1))
    expected = coupling_map(model, x)
    half = _in_half_precision(model)
    half.set_weights(weights)
    found = coupling_map(half, x)
    np.testing.assert_allclose(found, expected, atol=0.02 * np.abs(expected).max())


def _in_half_precision(model):
    config = model.to_json().replace('"name": "float32"', '"name": "mixed_float16"')
    return keras.models.model_from_json(config)
