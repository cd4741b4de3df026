"""Models of each class that Keras runs."""

import keras
import numpy as np
import pytest
from conftest import once

import export
from export.device import Predictor

pytestmark = pytest.mark.usefixtures("warm_conversions")

layers, ops = keras.layers, keras.ops


class Recorded(keras.Model):
    """Has layers and operations alone, which Keras can record."""

    def __init__(self):
        super().__init__()
        self.dense = layers.Dense(3)
        self.drop = layers.Dropout(0.5)

    def call(self, x, training=None):
        return {"b": self.drop(self.dense(x), training=training) * 2, "a": ops.max(x)}


@keras.saving.register_keras_serializable("test_any_model")
class Weighted(keras.Model):
    """Has a weight that is in no layer."""

    def build(self, shape):
        self.kernel = self.add_weight(shape=(shape[-1],), initializer="normal", name="kernel")

    def call(self, x):
        return x * self.kernel


class Tower(keras.Model):
    """Takes a dictionary."""

    def __init__(self):
        super().__init__()
        self.embedding = layers.Embedding(30, 4)

    def call(self, inputs):
        return ops.sum(self.embedding(inputs["words"]), axis=1) * inputs["factor"]


def recorded():
    model = Recorded()
    model(np.zeros((2, 5), "float32"))
    return model


def weighted():
    model = Weighted()
    model(np.zeros((2, 5), "float32"))
    return model


def tower():
    model = Tower()
    model({"words": np.zeros((3, 6), "int32"), "factor": np.zeros((3, 1), "float32")})
    return model


def built_by_data():
    model = keras.Sequential([layers.Dense(3)])
    model(np.zeros((2, 5), "float32"))
    return model


def fixed_batch():
    inputs = keras.Input(batch_shape=(2, 5), name="x")
    return keras.Model(inputs, layers.Dense(3)(inputs))


@pytest.mark.parametrize("build", [recorded, weighted, tower, built_by_data, fixed_batch])
def test_models_without_an_open_graph(tmp_path, build, generator):
    keras.utils.set_random_seed(0)
    model = build()
    assert export.export_onnx(model, tmp_path / "model.onnx").passed
    predictor = Predictor(tmp_path / "model.onnx")
    inputs = {name: generator.uniform(size=(2, *s)) for name, s in predictor.shapes.items()}
    inputs = {
        name: np.floor(array * 30) if name == "words" else array.astype("float32")
        for name, array in inputs.items()
    }
    given = inputs if build is tower else next(iter(inputs.values()))
    expected = keras.tree.flatten(model(keras.tree.map_structure(ops.convert_to_tensor, given)))
    for found, own in zip(predictor(inputs).values(), expected, strict=True):
        np.testing.assert_allclose(found, ops.convert_to_numpy(own), atol=1e-5)


@once
def test_shapes_of_a_model_that_was_never_called(tmp_path):
    with pytest.raises(export.ConversionError, match="input_shapes=\\(28, 28, 1\\)"):
        export.export_onnx(Recorded(), tmp_path / "model.onnx")
    for shapes, expected in (
        ((5,), "(batch, 5)"),
        (keras.InputSpec(shape=(None, 7), dtype="float32"), "(batch, 7)"),
    ):
        report = export.export_onnx(
            Recorded(), tmp_path / "model.onnx", input_shapes=shapes, force=True
        )
        assert report.file.inputs[0].endswith(expected)
    words = keras.InputSpec(shape=(None, None), dtype="int32")
    shapes = {"words": words, "factor": (1,)}
    report = export.export_onnx(Tower(), tmp_path / "tower.onnx", input_shapes=shapes)
    assert report.file.inputs == ["factor (batch, 1)", "words (batch, length)"]


@once
def test_a_model_that_keras_can_neither_record_nor_save(tmp_path):
    class Foreign(keras.Model):
        def __init__(self, function):
            super().__init__()
            self.function = function

        def call(self, x):
            return self.function(x)

    model = Foreign(np.tanh)
    with pytest.raises(export.ConversionError, match="neither record.* get_config"):
        export.export_onnx(model, tmp_path / "model.onnx", input_shapes=(3,))
    assert not list(tmp_path.iterdir())


@once
@pytest.mark.parametrize(
    ("name", "size", "last"),
    [
        ("ConvNeXtTiny", 32, "convnext_tiny_downsampling_block_0"),
        ("MobileNetV3Small", 32, None),
        ("InceptionResNetV2", 75, "custom_scale_layer"),
    ],
)
def test_layers_of_keras_own_architectures(tmp_path, name, size, last):
    """The whole ones are in the corpus; their first blocks have the layers that are their own."""
    keras.utils.set_random_seed(0)
    model = getattr(keras.applications, name)(weights=None, input_shape=(size, size, 3), classes=5)
    if last:
        (end,) = [layer for layer in model.layers if layer.name.startswith(last)][:1]
        model = keras.Model(model.input, end.output)
    assert export.export_onnx(model, tmp_path / "model.onnx").passed
