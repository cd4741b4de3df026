"""Bugs that others have; each test has the name of the library and of what goes wrong there."""

import json

import keras
import numpy as np
import pytest
from conftest import once, to_numpy

import keras_capsules
from keras_capsules import CapsuleSqueezeExcitation, attention
from tests.attention.cases import CASES, NAMES, WITH_WEIGHTS, compiled, randomize


@keras.saving.register_keras_serializable(package="tests")
def two(z):
    """Stands in for a sigmoid: its trace is easy to see."""
    return keras.ops.zeros_like(z) + 2


def make(short, **arguments):
    layer = CapsuleSqueezeExcitation if short == "capsule" else attention.ATTENTIONS[short]
    return layer(**{**WITH_WEIGHTS.get(short, {}), **arguments})


def shape_for(short):
    return (1, 6, 8) if short == "capsule" else (1, 5, 4, 8)


every_layer = pytest.mark.parametrize("short", [*NAMES, "capsule"])


@once
@every_layer
def test_keras_hub_config_that_the_constructor_refuses(short):
    for arguments in [{"name": None}, *(case[1] for case in CASES if case[0] == short)]:
        layer = make(short, **arguments)
        config = layer.get_config()
        assert {key: config[key] for key in arguments if key != "name"}.items() <= arguments.items()
        again = type(layer).from_config(config)
        assert again.get_config() == config
        again.build((1, 8, 8, 8) if short != "capsule" else (1, 6, 8))


@every_layer
def test_keras_cv_callables_in_the_config(short, generator):
    arguments = {"activation": keras.activations.gelu, "gate_activation": two}
    known = make(short).get_config()
    layer = make(short, **{key: value for key, value in arguments.items() if key in known})
    config = keras.saving.serialize_keras_object(layer)
    again = keras.saving.deserialize_keras_object(json.loads(json.dumps(config)))
    assert again.get_config() == layer.get_config() != make(short, name=layer.name).get_config()
    x = generator.normal(size=shape_for(short)).astype("float32")
    randomize(layer, x.shape, generator)
    again.build(x.shape)
    again.set_weights(layer.get_weights())
    np.testing.assert_array_equal(to_numpy(compiled(again)(x)), to_numpy(compiled(layer)(x)))


@pytest.mark.parametrize("short", ["se", "scse", "cbam", "ge", "sk", "ca", "capsule"])
def test_kimm_gate_dropped_without_activation(short, generator):
    x = generator.normal(size=shape_for(short)).astype("float32")
    layer = make(short, activation=None)
    layer.build(x.shape)
    _, gates = compiled(layer, return_gates=True)(x)
    for gate in keras.tree.flatten(to_numpy(gates)):
        assert (gate > 0).all() and (gate < 1).all()


@every_layer
def test_timm_gather_excite_arguments_that_get_lost(short):
    layer = make(short, dtype="mixed_float16", trainable=False, name="mine")
    layer.build(shape_for(short))
    assert layer.dtype_policy.name == "mixed_float16" and layer.name == "mine"
    assert not layer.trainable_weights and not layer.trainable


@pytest.mark.parametrize("short", [name for name in [*NAMES, "capsule"] if name != "sk"])
def test_timm_light_cbam_ignores_the_gate(short, generator):
    multiply = {"fusion": "multiply"} if short == "gc" else {}
    layer = make(short, gate_activation=two, **multiply)
    x = generator.normal(size=shape_for(short)).astype("float32")
    layer.build(x.shape)
    outputs, gates = to_numpy(compiled(layer, return_gates=True)(x))
    assert short == "gc" or all((gate == 2).all() for gate in keras.tree.flatten(gates))
    factor = {"cbam": 4, "ca": 4}.get(short, 2)  # These two multiply twice.
    np.testing.assert_allclose(outputs, factor * x, rtol=1e-6)


@once
@every_layer
def test_medicai_unregistered_and_sublayers_of_another_dtype(short):
    layer = make(short, dtype="mixed_bfloat16")
    layer.build(shape_for(short))
    registered = keras.saving.get_registered_name(type(layer))
    assert registered == f"keras_capsules>{type(layer).__name__}"
    assert getattr(keras_capsules, type(layer).__name__) is type(layer)
    for child in layer._flatten_layers():
        assert child.dtype_policy.name == "mixed_bfloat16"


@every_layer
def test_keras_hub_layers_made_in_call(short):
    layer = make(short)
    layer.build(shape_for(short))
    children = [id(child) for child in layer._flatten_layers()]
    weights = [id(weight) for weight in layer.weights]
    assert all(child.built for child in layer._flatten_layers())
    assert weights or short == "simam"
    compiled(layer)(np.ones(shape_for(short), "float32"))
    assert [id(child) for child in layer._flatten_layers()] == children
    assert [id(weight) for weight in layer.weights] == weights
