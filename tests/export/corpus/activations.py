"""Every activation of Keras, as a name and as a layer."""

import keras
from keras import layers

from tests.export.corpus.registry import model, one_layer

NAMES = sorted(
    name
    for name, function in vars(keras.activations).items()
    if callable(function) and name not in ("get", "serialize", "deserialize", "threshold")
)


@model(NAMES)
def activation(name):
    return keras.Sequential([keras.Input((6,)), layers.Activation(name)])


@model(("gelu", "softmax", "log_softmax", "hard_silu"))
def of_convolution(name):
    layer = layers.Conv2D(4, 3, activation=name)
    return keras.Sequential([keras.Input((6, 6, 3)), layer])


IMAGE = (4, 5, 3)
LAYERS = {
    "elu": (IMAGE, layers.ELU, {"alpha": 0.5}),
    "leaky_relu": (IMAGE, layers.LeakyReLU, {"negative_slope": 0.3}),
    "prelu": (IMAGE, layers.PReLU, {}),
    "prelu_shared": (IMAGE, layers.PReLU, {"shared_axes": [1, 2]}),
    "relu_capped": (IMAGE, layers.ReLU, {"max_value": 1.0}),
    "relu_sloped": (IMAGE, layers.ReLU, {"negative_slope": 0.1, "threshold": 0.5}),
    "softmax_of_rows": (IMAGE, layers.Softmax, {"axis": 1}),
    "softmax_of_images": (IMAGE, layers.Softmax, {"axis": [1, 2]}),
}


@model(LAYERS)
def layer(arguments):
    return one_layer(arguments)


@model()
def masked_softmax():
    x, mask = keras.Input((6,), name="x"), keras.Input((6,), dtype="bool", name="mask")
    return keras.Model([x, mask], layers.Softmax()(x, mask))


@model()
def threshold():
    x = keras.Input((6,))
    return keras.Model(x, keras.activations.threshold(x, 0.5, -1.0))


@model({"tanh_form": True, "exact": False})
def gelu(approximate):
    x = keras.Input((6,))
    return keras.Model(x, keras.ops.gelu(x, approximate=approximate))
