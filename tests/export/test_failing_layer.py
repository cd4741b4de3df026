"""What a layer raises reaches the user whole: the layer, its own exception, a remedy."""

import keras
import numpy as np
import pytest
from conftest import once
from converted import converted
from keras import ops

import export
from export.compare.run import in_batches
from export.compare.suites import Suite
from export.errors import ConversionError
from export.results import Kind

pytestmark = once


@keras.saving.register_keras_serializable(package="failing")
class AsOnPyTorch(keras.layers.Layer):
    """Needs values, which a TensorFlow graph does not have."""

    def call(self, x):
        return x * float(ops.convert_to_numpy(x).max() * 0 + 1)

    def compute_output_spec(self, x):
        return keras.KerasTensor(x.shape, x.dtype)


@keras.saving.register_keras_serializable(package="failing")
class Failing(keras.layers.Layer):
    """Fails wherever it runs."""

    def call(self, x):
        raise KeyError("no such table")

    def compute_output_spec(self, x):
        return keras.KerasTensor(x.shape, x.dtype)


def nested(layer):
    inner = keras.Sequential([keras.Input((3,)), layer])
    return keras.Sequential([keras.Input((3,)), keras.layers.Dense(3), inner])


def test_a_layer_that_has_no_graph_is_named():
    with pytest.raises(ConversionError) as caught:
        converted(nested(AsOnPyTorch(name="scale")))
    message = str(caught.value)
    assert "in AsOnPyTorch 'scale': " in message
    assert "KERAS_BACKEND=tensorflow tries it" in message


def test_a_layer_that_never_runs_is_named(tmp_path):
    with pytest.raises(
        ConversionError, match="in Failing 'lost': KeyError: 'no such table'. Try it"
    ):
        export.export_onnx(nested(Failing(name="lost")), tmp_path / "model.onnx")
    assert not (tmp_path / "model.onnx").exists()


def test_the_remedy_works():
    layer = keras.layers.Rescaling(2.0)
    x = np.ones((1, 3), "float32")
    np.testing.assert_allclose(layer(x), 2 * x)
    converted(nested(layer))


def test_operations_of_keras_are_named():
    x = keras.Input((4,), dtype="bool")
    with pytest.raises(ConversionError, match="in Sign 'sign': "):
        converted(keras.Model(x, ops.sign(x)))
    remedy = converted(keras.Model(x, ops.sign(ops.cast(x, "int32"))))
    assert remedy.graph.node


def test_keras_filters_tracebacks_as_before():
    assert keras.config.is_traceback_filtering_enabled()
    with pytest.raises(ConversionError):
        converted(nested(AsOnPyTorch()))
    assert keras.config.is_traceback_filtering_enabled()


def test_an_output_of_a_size_that_depends_on_values():
    suite = Suite(Kind.RANDOM, [np.array([2, 1, 5], "int32")], batch=2)
    with pytest.raises(export.UnsupportedOperationError, match="depends on the values.*num_segm"):
        in_batches(lambda arrays: [np.zeros(1 + arrays[0].max())], suite)
