"""Primary capsules, on one axis and two, against convolutions computed window by window."""

import keras
import numpy as np
import pytest
from conftest import evaluate, to_numpy
from reference import convolution
from reference.routing import sigmoid, squash

from keras_capsules import CapsuleLayer, ConvCapsule1D, PrimaryCapsule1D, PrimaryCapsule2D

FORMS = [
    ((9, 7), {"kernel_size": 3, "strides": 2}),
    ((5, 4), {"kernel_size": (3, 2), "padding": "same"}),
    ((11,), {"kernel_size": 4, "strides": 3}),
]


def make(grid, **options):
    layer_class = PrimaryCapsule1D if len(grid) == 1 else PrimaryCapsule2D
    return layer_class(**{"num_capsules": 3, "capsule_dim": 4, **options})


def convolve(x, layer, convolution_layer, depthwise=False):
    """Each window times the kernel in float64; depthwise, each channel times its own kernels."""
    kernel, bias = (to_numpy(w).astype("float64") for w in convolution_layer.weights)
    grid = x.shape[1:-1]
    found, cells = convolution.windows(grid, layer.kernel_size, layer.strides, layer.padding)
    features = np.zeros((len(x), len(found), len(bias)))
    for cell, window in enumerate(found):
        for place, weights in zip(window, kernel.reshape(-1, *kernel.shape[-2:]), strict=True):
            if place is None:
                continue
            values = x[(slice(None), *place)].astype("float64")
            if depthwise:
                features[:, cell] += (values[:, :, None] * weights).reshape(len(x), -1)
            else:
                features[:, cell] += values @ weights
    return (features + bias).reshape(len(x), *cells, -1)


@pytest.mark.parametrize(("grid", "options"), FORMS)
@pytest.mark.parametrize("depthwise", [False, True])
def test_windows_kernels_and_activations(generator, grid, options, depthwise):
    layer = make(grid, depthwise=depthwise, explicit_activations=True, **options)
    x = generator.normal(size=(2, *grid, 6)).astype("float32")
    layer.build(x.shape)
    for weight in layer.weights:
        weight.assign(0.5 * generator.normal(size=weight.shape))
    poses, activations = evaluate(layer, x)
    expected = convolve(x, layer, layer.convolution, depthwise)
    expected = squash(expected.reshape(*expected.shape[:-1], 3, 4))
    np.testing.assert_allclose(poses, expected, atol=1e-5)
    expected = sigmoid(convolve(x, layer, layer.activation_convolution))
    np.testing.assert_allclose(activations, expected, atol=1e-5)
    shapes = layer.compute_output_shape((None, *grid, 6))
    assert shapes == ((None, *poses.shape[1:]), (None, *activations.shape[1:]))
    symbolic = layer(keras.Input((*grid, 6)))
    assert [part.shape for part in symbolic] == list(shapes)
    again = type(layer).from_config(layer.get_config())
    assert again.get_config() == layer.get_config()


def test_activation_by_name_and_by_function(generator):
    x = generator.normal(size=(2, 5, 5, 3)).astype("float32")
    plain = make((5, 5), kernel_size=3, activation=None)
    poses = to_numpy(plain(x))
    length = np.linalg.norm(poses, axis=-1, keepdims=True)
    expected = {
        "squash": squash(poses),
        "exponential_squash": (1 - np.exp(-length)) * poses / length,
        keras.ops.tanh: np.tanh(poses),
    }
    for activation, values in expected.items():
        layer = make((5, 5), kernel_size=3, activation=activation)
        layer.build(x.shape)
        layer.set_weights(plain.get_weights())
        np.testing.assert_allclose(to_numpy(layer(x)), values, atol=1e-5)


@pytest.mark.parametrize(
    ("options", "shape", "message"),
    [
        ({}, (9, 7), r"\(batch, height, width, channels\).*\(None, 9, 7\)"),
        ({}, (2, 2, 5), None),
        ({}, (9, 2, 5), None),
        ({"depthwise": True}, (9, 7, 5), "3 \\* 4, channels=5"),
        ({"kernel_size": (3, 3, 3)}, (9, 7, 5), r"kernel_size=\(3, 3, 3\)"),
    ],
)
def test_images_too_flat_or_too_small(options, shape, message):
    with pytest.raises(ValueError, match=message):
        PrimaryCapsule2D(3, 4, **{"kernel_size": 3, **options}).build((None, *shape))


@pytest.mark.slow
def test_capsules_of_a_signal_train(generator):
    """A fast wave or a slow one, whatever its phase."""
    model = keras.Sequential(
        [
            keras.Input((64, 1)),
            PrimaryCapsule1D(4, 4, 9, strides=2),
            ConvCapsule1D(4, 4, 5, strides=2),
            CapsuleLayer(2, 4),
            keras.layers.Flatten(),
            keras.layers.Dense(2, activation="softmax"),
        ]
    )
    labels = np.arange(60) % 2
    phases = generator.uniform(0, 2 * np.pi, size=(60, 1))
    waves = np.sin(np.linspace(0, 2 * np.pi, 64) * (3 + 6 * labels[:, None]) + phases)
    model.compile(
        keras.optimizers.Adam(1e-2), "sparse_categorical_crossentropy", metrics=["accuracy"]
    )
    history = model.fit(waves[..., None], labels, epochs=25, batch_size=20, verbose=0).history
    assert history["accuracy"][-1] > 0.9
