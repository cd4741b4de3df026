"""Loading a checked model: what it may hold, and what it leaves alone."""

import re
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import custom_layers
import keras
import numpy as np
import pytest
from conftest import once

import export
from export.admit import load

pytestmark = once

ADD_WEIGHT = keras.layers.Layer.add_weight


@keras.saving.register_keras_serializable(package="tests")
class Observing(keras.layers.Layer):
    """Notes each time it is built whether Keras is as it always is."""

    seen = []

    def build(self, shape):
        self.seen.append(keras.layers.Layer.add_weight is ADD_WEIGHT)
        self.kernel = self.add_weight(shape=(shape[-1],), name="kernel")

    def call(self, inputs):
        return inputs * self.kernel


@pytest.fixture
def unpacked(tmp_path):
    """Path of an unpacked model, whose Dense layer has 12 weights and a bias."""
    inputs = keras.Input((4,), name="x")
    outputs = keras.layers.Dense(3, name="dense")(Observing(name="observing")(inputs))
    keras.Model(inputs, outputs).save(tmp_path / "model.keras")
    folder = tmp_path / "unpacked"
    folder.mkdir()
    load.unpack(tmp_path / "model.keras", folder)
    return folder


def test_loading_replaces_nothing_in_keras(unpacked):
    Observing.seen.clear()
    model = load.load_model(unpacked, "model")
    assert Observing.seen == [True]
    assert keras.layers.Layer.add_weight is ADD_WEIGHT
    kernel = np.asarray(keras.ops.convert_to_numpy(model.get_layer("dense").kernel))
    found = model.predict(np.eye(4, dtype="float32"), verbose=0)
    scales = keras.ops.convert_to_numpy(model.get_layer("observing").kernel)
    np.testing.assert_allclose(found, np.diag(scales) @ kernel, atol=1e-6)


def test_a_refused_model_leaves_no_weights_to_be_made(unpacked):
    """Keras gives memory to those that a thread still waits for at the end of a stateless scope."""
    config = unpacked / "config.json"
    config.write_text(config.read_text().replace('"units": 3', '"units": 12500000'))

    def refuse():
        with pytest.raises(export.RefusedInputError, match="wants weights of shape .4, 12500000."):
            load.load_model(unpacked, "model")

    assert growth(refuse) < 50
    assert growth(end_of_a_stateless_scope) < 50
    with keras.StatelessScope(initialize_variables=False):  # This is how it would look.
        dense = keras.layers.Dense(12_500_000)
        dense.build((None, 4))
    assert growth(end_of_a_stateless_scope) > 150


def end_of_a_stateless_scope():
    with keras.StatelessScope():
        pass


def growth(function):
    """Returns by how many MiB the memory of this process grows at most while a function runs."""
    Path("/proc/self/clear_refs").write_text("5")  # The peak becomes what is in use.
    before = mebibytes("VmRSS")
    function()
    return mebibytes("VmHWM") - before


def mebibytes(name):
    status = Path("/proc/self/status").read_text()
    return int(re.search(rf"{name}:\s+(\d+)", status)[1]) / 1024


def test_threads_load_at_the_same_time(unpacked):
    with ThreadPoolExecutor(2) as threads:
        models = list(threads.map(load.load_model, [unpacked] * 4, "abcd"))
    expected = load.load_model(unpacked, "model").get_weights()
    for model in models:
        for one, other in zip(model.get_weights(), expected, strict=True):
            np.testing.assert_array_equal(one, other)


def test_what_keras_itself_saves_is_no_danger(tmp_path):
    """Layers, operations, initializers and all else that a configuration may name."""
    layers, ops = keras.layers, keras.ops
    image = keras.Input((8, 8, 4))
    value = layers.Conv2D(
        8,
        3,
        activation=keras.activations.silu,
        kernel_initializer=keras.initializers.VarianceScaling(2.0),
        kernel_regularizer=keras.regularizers.L1L2(),
        kernel_constraint=keras.constraints.MaxNorm(2),
        dtype=keras.DTypePolicy("float32"),
    )(image)
    value = layers.Activation(keras.activations.gelu)(layers.BatchNormalization()(value))
    value = layers.Reshape((36, 8))(layers.Dropout(0.5)(value))
    value = layers.Bidirectional(layers.LSTM(4, return_sequences=True))(value)
    value = layers.MultiHeadAttention(2, 4)(value, value) + 1.0
    value = layers.TimeDistributed(layers.Dense(4))(value)
    value = ops.where(value > 0, value, ops.clip(value[:, ::-1], -float("inf"), 1.0))
    inner = keras.Sequential([keras.Input((36, 4)), layers.Flatten(), layers.Dense(5)])
    inner.compile("sgd", "mse")
    value = inner(value)
    model = keras.Model(image, ops.einsum("bi,bj->bij", value, ops.softmax(value)))
    model.compile("adam", keras.losses.Huber(), metrics=["mae"])
    model.save(tmp_path / "model.keras")
    (tmp_path / "unpacked").mkdir()
    assert load.unpack(tmp_path / "model.keras", tmp_path / "unpacked") == {}
    loaded = load.load_model(tmp_path / "unpacked", "model")
    for before, after in zip(model.weights, loaded.weights, strict=True):
        np.testing.assert_array_equal(before, after)
    assert "compile_config" not in (tmp_path / "unpacked/config.json").read_text()
    assert not loaded.compiled


def saved_and_unpacked(layer, shape, tmp_path):
    keras.Sequential([keras.Input(batch_shape=shape), layer]).save(tmp_path / "model.keras")
    (tmp_path / "unpacked").mkdir()
    load.unpack(tmp_path / "model.keras", tmp_path / "unpacked")
    return tmp_path / "unpacked"


def test_a_layer_may_make_a_variable_of_a_value(tmp_path):
    folder = saved_and_unpacked(custom_layers.VariableOfAValue(), (None, 3), tmp_path)
    model = load.load_model(folder, "model")
    np.testing.assert_array_equal(model.predict(np.ones((1, 3)), verbose=0), [[1, 2, 3]])


def test_stateful_layers_are_refused(tmp_path):
    folder = saved_and_unpacked(
        keras.layers.LSTM(2, stateful=True, name="lstm"), (1, 5, 3), tmp_path
    )
    with pytest.raises(export.ConversionError, match="'lstm' with stateful=True"):
        load.load_model(folder, "model")
