"""Layers of Keras in ONNX files, beside Keras."""

import keras
import numpy as np
import pytest
from conftest import BACKENDS, once, run_python
from converted import converted
from keras import layers

import export
from export.device import Predictor
from tests.export.convert.comparison import check, inputs_of, run

pytestmark = once

CONVOLUTIONS = {
    1: (layers.Conv1D, layers.Conv1DTranspose, (9,)),
    2: (layers.Conv2D, layers.Conv2DTranspose, (7, 8)),
    3: (layers.Conv3D, layers.Conv3DTranspose, (6, 7, 5)),
}
FORMATS = ("channels_last", "channels_first")


def image_shape(size, channels, data_format):
    return (*size, channels) if data_format == "channels_last" else (channels, *size)


@pytest.mark.parametrize("data_format", FORMATS)
@pytest.mark.parametrize(
    "options",
    [{"strides": 2}, {"padding": "same", "strides": 2}, {"padding": "same", "dilation_rate": 2}],
    ids=str,
)
@pytest.mark.parametrize("groups", [1, 4])
@pytest.mark.parametrize("dimensions", CONVOLUTIONS)
def test_convolutions(dimensions, groups, options, data_format):
    convolution, _, size = CONVOLUTIONS[dimensions]
    inputs = inputs_of(image_shape(size, 4, data_format))
    layer = convolution(8, 3, groups=groups, data_format=data_format, activation="relu", **options)
    file = check(inputs, layer(*inputs))
    (node,) = [node for node in file.graph.node if node.op_type == "Conv"]
    (group,) = [entry.i for entry in node.attribute if entry.name == "group"]
    assert group == groups


@pytest.mark.parametrize("data_format", FORMATS)
@pytest.mark.parametrize(
    "options",
    [
        {"kernel_size": 4, "strides": 2, "padding": "same"},
        {"kernel_size": 2, "strides": 3, "padding": "same"},
        {"kernel_size": 3, "strides": 2, "output_padding": 1},
        {"kernel_size": 3, "strides": 2, "output_padding": 1, "padding": "same"},
        {"kernel_size": 3, "dilation_rate": 2},
    ],
    ids=str,
)
@pytest.mark.parametrize("dimensions", CONVOLUTIONS)
def test_transposed_convolutions(dimensions, options, data_format):
    _, transposed, size = CONVOLUTIONS[dimensions]
    inputs = inputs_of(image_shape([n // 2 for n in size], 3, data_format))
    layer = transposed(4, data_format=data_format, **options)
    check(inputs, layer(*inputs))


@pytest.mark.parametrize("data_format", FORMATS)
@pytest.mark.parametrize(
    "make",
    [
        lambda options: layers.DepthwiseConv2D(3, depth_multiplier=2, dilation_rate=2, **options),
        lambda options: layers.SeparableConv2D(5, 3, strides=2, padding="same", **options),
        lambda options: layers.AveragePooling2D(3, 2, padding="same", **options),
        lambda options: layers.MaxPooling2D(2, padding="same", **options),
        lambda options: layers.GlobalAveragePooling2D(keepdims=True, **options),
        lambda options: layers.AdaptiveAveragePooling2D((3, 2), **options),
        lambda options: layers.UpSampling2D((3, 2), **options),
        lambda options: layers.ZeroPadding2D(((1, 2), (0, 3)), **options),
        lambda options: layers.CenterCrop(9, 5, **options),
        lambda options: layers.Flatten(**options),
        lambda options: layers.Resizing(5, 4, pad_to_aspect_ratio=True, **options),
        lambda options: layers.Resizing(5, 4, crop_to_aspect_ratio=True, **options),
    ],
)
def test_layers_of_images(make, data_format):
    inputs = inputs_of(image_shape((7, 8), 3, data_format))
    check(inputs, make({"data_format": data_format})(*inputs))


@pytest.mark.parametrize("size", [(8, 10), (3, 2), (7, 7)], ids=str)
@pytest.mark.parametrize(
    "interpolation", ["nearest", "bilinear", "bicubic", "lanczos3", "lanczos5", "area"]
)
def test_resizing(interpolation, size):
    inputs = inputs_of((4, 5, 3))
    check(inputs, layers.Resizing(*size, interpolation=interpolation)(*inputs))


@pytest.mark.parametrize("interpolation", ["nearest", "bilinear"])
@pytest.mark.parametrize("data_format", FORMATS)
def test_images_of_open_size_are_enlarged(data_format, interpolation):
    inputs = inputs_of(image_shape((None, None), 3, data_format))
    options = {"interpolation": interpolation, "data_format": data_format}
    model = keras.Model(inputs, layers.UpSampling2D((2, 3), **options)(*inputs))
    x = np.random.default_rng(0).normal(size=(2, *image_shape((4, 5), 3, data_format)))
    x = x.astype("float32")
    np.testing.assert_allclose(run(converted(model), [x])[0], model([x]), atol=3e-6)


@pytest.mark.parametrize("axis", [-1, 1])
def test_group_normalization_of_volumes(axis):
    inputs = inputs_of((4, 3, 5, 4))
    check(inputs, layers.GroupNormalization(2, axis=axis)(*inputs))


@pytest.mark.parametrize(
    "name",
    """celu elu gelu hard_shrink hard_sigmoid hard_silu hard_tanh leaky_relu log_sigmoid log_softmax
    mish relu6 selu sigmoid silu softmax soft_shrink softplus softsign sparse_plus sparse_sigmoid
    sparsemax squareplus tanh tanh_shrink""".split(),
)
def test_activations(name):
    inputs = inputs_of((8,))
    check(inputs, layers.Activation(name)(*inputs))


def test_counts_with_weights():
    classes, weights = keras.Input((4,), dtype="int32"), keras.Input((4,))
    layer = layers.CategoryEncoding(4, "count")
    model = keras.Model([classes, weights], layer(classes, count_weights=weights))
    arrays = [np.array([[0, 1, 1, 3]], "int32"), np.array([[0.5, 1, 2, -3]], "float32")]
    np.testing.assert_allclose(run(converted(model), arrays)[0], [[0.5, 3, 0, -3]])


def test_transformer():
    (x,) = inputs_of((5, 8))
    attended = layers.MultiHeadAttention(2, 4)(x, x, use_causal_mask=True)
    y = layers.LayerNormalization()(layers.Add()([x, attended]))
    check([x], layers.Dense(8)(layers.Dense(16, activation="gelu")(y)))


def test_distributed_layers_take_all_steps_at_once():
    inputs = inputs_of((50, 6, 2))
    file = check(inputs, layers.TimeDistributed(layers.Conv1D(3, 2))(*inputs))
    assert len(file.graph.node) < 10


EXPORT = """
import sys
import keras
from keras import layers
import export

keras.utils.set_random_seed(0)
first = {"data_format": "channels_first"}
inputs = keras.Input((4, 8, 8))
biased = {"bias_initializer": "normal", **first}  # As many channels as columns.
y = layers.Conv2D(8, 3, groups=2, padding="same", activation="gelu", **biased)(inputs)
y = layers.MaxPooling2D(2, **first)(layers.BatchNormalization(axis=1)(y))
y = layers.Conv2DTranspose(4, 3, strides=2, padding="same", **first)(y)
y = layers.GlobalAveragePooling2D(**first)(y)
report = export.export_onnx(keras.Model(inputs, layers.Dense(3)(y)), sys.argv[1])
assert report.passed
"""


@pytest.mark.parametrize("backend", [backend for backend in BACKENDS if backend != "tensorflow"])
def test_channels_first_and_groups_are_exported_from_other_backends(backend, tmp_path):
    run_python("-c", EXPORT, tmp_path / "model.onnx", backend=backend)


def test_the_export_of_keras_on_pytorch(tmp_path, generator):
    """Weights are constants of such a file, which have no gradient."""
    model = keras.Sequential([keras.Input((6, 6, 3)), layers.Conv2D(4, 3), layers.Flatten()])
    model.add(layers.Dense(2, name="scores"))
    path = tmp_path / "model.onnx"
    assert export.export_onnx(model, path, via="torch").passed
    images = generator.normal(size=(3, 6, 6, 3)).astype("float32")
    found = Predictor(path)(images)["scores"]
    np.testing.assert_allclose(found, model.predict(images, verbose=0), atol=1e-5)


OWN = """
import keras, torch
import export

class Own(keras.layers.Layer):
    def call(self, x):
        return torch.tanh(x)

inputs = keras.Input((4,))
try:
    export.export_onnx(keras.Model(inputs, Own()(inputs)), "model.onnx")
except export.ConversionError as error:
    print(error)
"""


def test_layers_of_functions_of_pytorch_are_refused_with_the_reason():
    message = run_python("-c", OWN, backend="torch").stdout
    assert "with keras.ops, and not with torch itself. (" in message
    assert "damaged" not in message and "tanh" in message
