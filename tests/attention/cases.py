"""Every member of the squeeze-and-excitation family, with arguments, shapes and random weights."""

import keras
import numpy as np

from keras_capsules import attention

IMAGE, POINT, SEQUENCE, VOLUME = (3, 5, 4, 8), (1, 1, 1, 8), (1, 6, 8), (1, 2, 3, 2, 8)
ALL = (IMAGE, POINT, SEQUENCE, VOLUME)
CASES = [  # Name, arguments, shapes, and which arguments the reference takes.
    ("se", {"reduction_ratio": 4}, ALL, ()),
    ("se", {"reduction_ratio": 4, "use_bias": False}, (IMAGE,), ()),
    ("sse", {}, ALL, ()),
    ("scse", {}, ALL, ()),
    ("scse", {"mode": "add", "use_bias": False}, (IMAGE,), ("mode",)),
    ("scse", {"mode": "multiply"}, (IMAGE,), ("mode",)),
    ("ese", {}, ALL, ()),
    ("eca", {}, ALL, ()),
    ("eca", {"kernel_size": 5}, (IMAGE,), ()),
    ("cbam", {"reduction_ratio": 4}, ALL, ()),
    ("ge", {}, ALL, ()),
    ("ge", {"extent": 2}, ALL, ("extent",)),
    ("ge", {"extent": 4}, (IMAGE,), ("extent",)),
    ("ge", {"variant": "theta"}, ALL, ("variant",)),
    ("ge", {"variant": "theta", "extent": 4}, (IMAGE, SEQUENCE), ("variant", "extent")),
    ("ge", {"variant": "theta_plus", "reduction_ratio": 4}, (IMAGE,), ("variant",)),
    ("ge", {"variant": "theta_plus", "extent": 2}, (IMAGE, POINT), ("variant", "extent")),
    ("gc", {"reduction_ratio": 2}, ALL, ()),
    ("gc", {"reduction_ratio": 2, "fusion": "multiply"}, (IMAGE,), ("fusion",)),
    ("gc", {"reduction_ratio": 2, "fusion": "both"}, (IMAGE,), ("fusion",)),
    ("sk", {}, (IMAGE, POINT), ()),
    ("sk", {"branches": 3, "groups": 2}, (IMAGE,), ("branches", "groups")),
    ("ca", {}, (IMAGE, POINT), ()),
    ("srm", {}, ALL, ()),
    ("simam", {}, ALL, ()),
    ("simam", {"regularization": 0.1}, (IMAGE,), ("regularization",)),
    ("triplet", {}, (IMAGE, POINT), ()),
    ("triplet", {"spatial": False, "kernel_size": 3}, (IMAGE,), ("spatial",)),
]
NAMES = list(attention.ATTENTIONS)
SEQUENCES = ["se", "sse", "scse", "ese", "eca", "cbam", "ge", "gc", "srm", "simam"]
WITH_WEIGHTS = {"ge": {"variant": "theta_plus"}}  # Others have weights by default, or never.


def randomize(layer, shape, generator):
    """Builds the layer, gives it random weights, and returns them by their path."""
    layer.build(shape)
    weights = {}
    for weight in layer.weights:
        positive = weight.path.endswith("variance")
        value = generator.normal(scale=0.5, size=weight.shape)
        weight.assign(np.exp(value) if positive else value)
        path = weight.path.removeprefix(f"{layer.name}/")
        weights[path] = keras.ops.convert_to_numpy(weight).astype("float64")
    return weights


def compiled(layer, **arguments):
    """The call as one function, which JAX compiles faster than one operation after the other."""

    def call(*inputs):
        return layer(*inputs, **arguments)

    if keras.backend.backend() != "jax":
        return call
    import jax

    return jax.jit(call)


def swap(x, data_format):
    return np.moveaxis(x, -1, 1) if data_format == "channels_first" else x


def same(found, expected):
    assert tuple(found) == tuple(expected)
