"""The names of inputs and outputs."""

import keras
import pytest

import export
from export import keras_model


def test_names_that_a_file_cannot_have(tmp_path):
    image = keras.Input((4,), name="image")
    dense = keras.layers.Dense(3)
    for outputs, message in (({"größe": dense(image)}, "without accents"),):
        with pytest.raises(export.ConversionError, match=message):
            export.export_onnx(keras.Model(image, outputs), tmp_path / "model.onnx")
    with pytest.raises(export.UsageError, match="Received: Dense"):
        export.export_onnx(dense, tmp_path / "model.onnx")
    assert not list(tmp_path.iterdir())


def test_names_of_several_outputs():
    inputs = keras.Input((4,), name="x")
    twice = keras.layers.Dense(2, name="same")
    listed = keras.Model(inputs, [twice(inputs), keras.layers.Dense(3, name="other")(inputs)])
    assert keras_model.output_names(listed) == ["same", "other"]
    shared = keras.Model([inputs, other := keras.Input((4,))], [twice(inputs), twice(other)])
    assert keras_model.output_names(shared) == ["same", "same_1"]
    named = keras.Model(inputs, {"b": twice(inputs), "a": inputs})
    assert keras_model.output_names(named) == ["a", "b"]
    like_the_input = keras.Model(inputs, {"x": twice(inputs), "y": inputs})
    assert keras_model.output_names(like_the_input) == ["x_output", "y"]
