"""Routings by name, config and instance, and the arguments that they refuse."""

import keras
import numpy as np
import pytest
from routing_cases import CASES

from keras_capsules import routing
from tests.routing.random_inputs import built, every_routing, inputs_of


def test_get_by_name_config_and_instance():
    instance = routing.get("dynamic", iterations=2)
    assert instance.iterations == 2
    assert routing.get(instance) is instance
    relu = keras.layers.ReLU()
    for wrong in ("dynamik", keras.saving.serialize_keras_object(relu), 3, relu):
        with pytest.raises(ValueError):
            routing.get(wrong)
    with pytest.raises(ValueError, match="dynamic, .*uniform.*'dynamik'"):
        routing.get("dynamik")
    with pytest.raises(ValueError, match="routing's name"):
        routing.get(instance, iterations=3)


@pytest.mark.parametrize("iterations", [0, -1, 2.0, True, None])
def test_iterations_must_be_positive(iterations):
    iterated = {name for name, options, _ in CASES if "iterations" in options}
    assert len(iterated) == 6
    for name in iterated:
        with pytest.raises(ValueError, match=f"iterations={iterations}"):
            routing.get(name, iterations=iterations)


@every_routing
def test_wrong_arguments(generator, name):
    layer = routing.get(name)
    inputs = inputs_of(layer, generator)
    wrong_shapes = [
        ({"votes": inputs["votes"][0]}, r"votes.shape=\(6, 3, 4\)"),
        ({"mask": np.ones((2, 5), "bool")}, r"mask.shape=\(2, 5\)"),
        ({"mask": np.ones((2, 6, 1), "bool")}, "mask.shape"),
        ({"poses": np.ones((2, 6), "float32")}, "poses.shape"),
    ]
    for change, message in wrong_shapes:
        with pytest.raises(ValueError, match=message):
            built(name, generator)(**{**inputs, **change})
    given = layer.explicit_activations
    change = {"activations": None if given else np.ones((2, 6), "float32")}
    with pytest.raises(ValueError, match="activations=None" if given else "explicit_activations"):
        built(name, generator)(**{**inputs, **change})
