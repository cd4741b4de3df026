"""Each patch of tf2onnx is still needed, and does what it says; Keras' own is not needed."""

import contextlib
import random

import keras
import numpy as np
import onnxruntime
import pytest
from conftest import once, run_python, small_capsnet
from converted import converted
from keras import layers

from export import keras_model
from export.convert import patches
from export.convert.routes import to_raw_graph
from export.errors import ConversionError, UnsupportedOperationError
from export.graph.canonical import to_canonical
from export.graph.content import serialize
from keras_capsules.explain import explained_model

pytestmark = once

CONVERT_UNPATCHED = """
import numpy as np
import tf2onnx
from keras.src.export.tf2onnx_lib import patch_tf2onnx
import keras_capsules
from export.convert.routes import to_raw_graph
from export.errors import ConversionError, UnsupportedOperationError

model = keras_capsules.create_model("capsnet", size="tiny")
assert len(to_raw_graph(model, 17, "tf2onnx").graph.node) > 20
assert not hasattr(np, "object")
assert tf2onnx.tfonnx.rewrite_constant_fold.__module__ == "tf2onnx.tfonnx"
"""


@pytest.fixture(scope="module")
def convert_shuffled():
    """Converts one model, with the nodes of its graph in an order that a seed decides.

    TensorFlow's optimizer returns them in another order in each process.
    """
    tf_loader = pytest.importorskip("tf2onnx.tf_loader")
    model = explained_model(small_capsnet(with_decoder=True), ["scores", "reconstruction"])
    axes = {"image": model.input.shape}, {key: x.shape for key, x in model.output.items()}

    def convert(seed, optimize=tf_loader.tf_optimize):
        def shuffled(*arguments):
            graph = optimize(*arguments)
            nodes = random.Random(seed).sample(list(graph.node), len(graph.node))
            del graph.node[:]
            graph.node.extend(nodes)
            return graph

        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(tf_loader, "tf_optimize", shuffled)
            raw = to_raw_graph(model, 17, "tf2onnx")
        file, _ = to_canonical(raw, *axes, keras_model.layer_names(model), {})
        return serialize(file)

    return convert


def test_equal_nodes_are_merged_alike_in_any_order(convert_shuffled):
    assert convert_shuffled(0) == convert_shuffled(1)


def test_without_nodes_in_order_the_order_decides(convert_shuffled, monkeypatch):
    """The patch can go once all of these are one file: this test then fails."""
    monkeypatch.setattr(patches, "nodes_in_order", contextlib.nullcontext)
    assert len({convert_shuffled(seed) for seed in range(4)}) > 1


def test_without_recurrent_layers_a_loop_remains(monkeypatch):
    """The patch can go once tf2onnx makes operations of masked layers: this test then fails."""
    x, mask = keras.Input((5, 3), name="x"), keras.Input((5,), dtype="bool", name="mask")
    model = keras.Model([x, mask], keras.layers.LSTM(4)(x, mask=mask))
    assert "LSTM" in {node.op_type for node in to_raw_graph(model, 17, "tf2onnx").graph.node}
    monkeypatch.setattr(patches, "recurrent_layers", contextlib.nullcontext)
    assert "Loop" in {node.op_type for node in to_raw_graph(model, 17, "tf2onnx").graph.node}


def test_tf2onnx_needs_no_patch_for_numpy():
    """Keras has one, process-wide, for tf2onnx before 1.17, which the export does not take."""
    run_python("-c", CONVERT_UNPATCHED, backend="tensorflow")


CPU_LAYERS = {
    "images": (layers.Conv2D(2, 3, data_format="channels_first"), (3, 5, 6)),
    "volumes": (layers.Conv3D(2, 3, data_format="channels_first"), (3, 5, 6, 4)),
    "transposed": (layers.Conv2DTranspose(2, 3, data_format="channels_first"), (3, 5, 6)),
    "dilated": (layers.Conv2DTranspose(2, 3, dilation_rate=2), (5, 6, 3)),
}


@pytest.mark.parametrize("name", CPU_LAYERS)
def test_convolutions_run_on_cpus(name):
    """In float64 too. The patch can go for what Keras runs itself: this test then fails."""
    layer, shape = CPU_LAYERS[name]
    config = {**layer.get_config(), "dtype": "float64"}
    layer = type(layer).from_config(config)
    x = keras.ops.ones((2, *shape), "float64")
    layer.build(x.shape)
    if name != "volumes":  # XLA runs them, in a graph that tf2onnx cannot read.
        with pytest.raises(Exception, match="CPU|supports NHWC|NCHW"):
            layer(x)
    with patches.convolutions_on_cpus():
        assert layer(x).shape == layer.compute_output_shape(x.shape)


def test_biases_of_channels_that_come_first():
    """The patch can go once Keras adds them to as many columns: this test then fails."""
    inputs, bias = np.zeros((2, 8, 3, 8), "float32"), np.arange(8, dtype="float32")
    terms = [keras.ops.convert_to_tensor(array) for array in (inputs, bias.reshape(1, 8, 1, 1))]
    right = np.broadcast_to(terms[1], inputs.shape)
    assert not np.array_equal(keras.ops.add(*terms), right)
    with patches.sums_of_other_backends():
        np.testing.assert_array_equal(keras.ops.add(*terms), right)


@pytest.mark.parametrize(
    "function",
    [
        layers.Conv2D(4, 3, groups=2),
        lambda x: keras.ops.argmax(x, axis=1),
        layers.Resizing(4, 6, pad_to_aspect_ratio=True),
    ],
    ids=["groups", "signs", "branches"],
)
def test_without_readable_functions_a_model_is_refused(function, monkeypatch):
    """The patch can go once tf2onnx reads them: this test then fails."""
    inputs = keras.Input((8, 6, 4))
    model = keras.Model(inputs, function(inputs))
    shapes = {"x": inputs.shape}, {"y": model.output.shape}
    assert to_raw_graph(model, 17, "tf2onnx").graph.node
    monkeypatch.setattr(patches, "readable_functions", contextlib.nullcontext)
    with pytest.raises(UnsupportedOperationError):
        to_canonical(to_raw_graph(model, 17, "tf2onnx"), *shapes, set(), {})


def one_channel_file(number):
    """A network of open size with an output of one channel, and its file."""
    image = keras.Input((None, None, 3), name="image")
    x = layers.Conv2D(8, 3, 2, padding="same", activation="relu", name=f"first_{number}")(image)
    gate = layers.GlobalAveragePooling2D(keepdims=True, name=f"squeeze_{number}")(x)
    x = x * layers.Conv2D(8, 1, activation="sigmoid", name=f"excitation_{number}")(gate)
    scores = layers.Dense(3, name="scores")(layers.GlobalAveragePooling2D()(x))
    lone = layers.Conv2D(1, 3, padding="same", name="map")(image)
    model = keras.Model(image, [scores, x, lone])
    return model, converted(model)


def test_outputs_of_one_channel_keep_their_shape(generator):
    x = generator.normal(size=(2, 5, 7, 3)).astype("float32")
    for number in range(12):
        model, file = one_channel_file(number)
        session = onnxruntime.InferenceSession(serialize(file))
        for found, expected in zip(session.run(None, {"image": x}), model(x), strict=True):
            np.testing.assert_allclose(found, expected, atol=1e-5)


def test_without_reshaped_outputs_names_decide_the_shape(monkeypatch):
    monkeypatch.setattr(patches, "reshaped_outputs", contextlib.nullcontext)
    with pytest.raises(ConversionError, match="differ in rank"):
        for number in range(80):  # One in six has this order of its nodes.
            one_channel_file(number)
