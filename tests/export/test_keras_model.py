"""Models that cannot be exported, and the names of inputs and outputs."""

import keras
import pytest

import export
from export import keras_model


@pytest.mark.parametrize(
    ("model", "message"),
    [
        (lambda: keras.Sequential([keras.layers.Dense(2)]), "without inputs"),
        (
            lambda: keras.Sequential([keras.Input((None, 4)), keras.layers.Dense(2)]),
            "Only the batch axis",
        ),
        (
            lambda: keras.Sequential(
                [keras.Input((4,)), keras.layers.Dense(2, dtype="mixed_float16")]
            ),
            "compute in float32",
        ),
    ],
)
def test_models_that_cannot_be_converted(tmp_path, model, message):
    with pytest.raises(export.ConversionError, match=message):
        export.export_onnx(model(), tmp_path / "model.onnx")
    assert not list(tmp_path.iterdir())


def test_names_and_shapes_that_a_file_cannot_have(tmp_path):
    image = keras.Input((4,), name="image")
    dense = keras.layers.Dense(3)
    for outputs, message in (
        ({"image": dense(image)}, "names of inputs and outputs must differ"),
        ({"größe": dense(image)}, "without accents"),
        (keras.ops.sum(dense(image)), "keep the batch axis"),
    ):
        with pytest.raises(export.ConversionError, match=message):
            export.export_onnx(keras.Model(image, outputs), tmp_path / "model.onnx")
    with pytest.raises(export.UsageError, match="Received: Dense"):
        export.export_onnx(dense, tmp_path / "model.onnx")
    inner = keras.Sequential([keras.Input((4,)), keras.layers.Dense(2, dtype="mixed_float16")])
    with pytest.raises(export.ConversionError, match="compute in float32"):
        export.export_onnx(keras.Model(image, inner(image)), tmp_path / "model.onnx")
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
