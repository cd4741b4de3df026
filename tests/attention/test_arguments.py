"""Layers by their name, and the arguments and inputs that they refuse."""

import keras
import numpy as np
import pytest

from keras_capsules import CapsuleSqueezeExcitation, SqueezeExcitation, attention
from tests.attention.cases import NAMES


def test_get():
    layer = attention.get("se", reduction_ratio=8)
    assert isinstance(layer, SqueezeExcitation) and layer.reduction_ratio == 8
    assert attention.get(layer) is layer
    again = attention.get(keras.saving.serialize_keras_object(layer))
    assert again is not layer and again.get_config() == layer.get_config()
    with pytest.raises(ValueError, match="Known ones: se, sse, scse"):
        attention.get("squeeze")
    with pytest.raises(ValueError, match="attention's name"):
        attention.get(layer, reduction_ratio=4)
    for other in (None, 3, keras.saving.serialize_keras_object(keras.losses.Huber())):
        with pytest.raises(ValueError, match="must be one of the names"):
            attention.get(other)


@pytest.mark.parametrize("name", NAMES)
def test_what_no_layer_takes(name):
    make = attention.ATTENTIONS[name]
    with pytest.raises(ValueError, match="expects an input of rank"):
        make().build((2, 8))
    with pytest.raises(ValueError, match="needs the number of channels"):
        make().build((2, 4, 4, None))
    with pytest.raises(ValueError, match="data_format"):
        make(data_format="NHWC")


@pytest.mark.parametrize(
    ("name", "arguments", "message"),
    [
        ("se", {"reduction_ratio": 0}, "must be positive"),
        ("se", {"divisor": -1}, "must be positive"),
        ("se", {"reduced_channels": 0}, "must be positive"),
        ("scse", {"mode": "mean"}, "max, add, multiply"),
        ("eca", {"kernel_size": 4}, "must be odd"),
        ("ge", {"variant": "theta-"}, "theta_minus, theta, theta_plus"),
        ("ge", {"extent": 6}, "power of two"),
        ("gc", {"fusion": "max"}, "add, multiply, both"),
        ("sk", {"branches": 0}, "must be positive"),
        ("simam", {"regularization": 0}, "must be positive"),
    ],
)
def test_wrong_arguments(name, arguments, message):
    with pytest.raises(ValueError, match=message):
        attention.get(name, **arguments)


def test_wrong_inputs():
    with pytest.raises(ValueError, match="number of positions"):
        attention.get("ge", variant="theta").build((None, None, 8, 4))
    with pytest.raises(ValueError, match="rank 3 and 4"):
        attention.get("ge", variant="theta", extent=2).build((None, 4, 4, 4, 8))
    with pytest.raises(ValueError, match="global mean only"):
        attention.get("ge", extent=2)(np.ones((1, 4, 4)), mask=np.ones((1, 4), "bool"))
    for shape, message in (((2, 4), "expects poses"), ((2, None, 4), "number of capsules")):
        with pytest.raises(ValueError, match=message):
            CapsuleSqueezeExcitation().build(shape)
    with pytest.raises(ValueError, match="must be positive"):
        CapsuleSqueezeExcitation(reduction_ratio=0)
