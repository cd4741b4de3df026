"""Models of each class, precision and structure that Keras runs."""

import json

import keras
import numpy as np
import onnxruntime
import pytest
from conftest import command_line, once, run_python

import export
from export import keras_model
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


NOTEBOOK = """
import keras
import numpy as np
import export
from keras_capsules import CapsuleLayer, PrimaryCapsule2D
from keras_capsules.routing import DynamicRouting

@keras.saving.register_keras_serializable("notebook")
class Own(DynamicRouting):
    pass

@keras.saving.register_keras_serializable("notebook")
def twice(x):
    return 2 * x

class Block(keras.layers.Layer):  # Not registered, and its inner layer has the default dtype.
    def __init__(self, units, **kwargs):
        super().__init__(**kwargs)
        self.units = units
        self.dense = keras.layers.Dense(units)
    def build(self, shape):
        self.dense.build(shape)
    def call(self, x):
        return keras.ops.relu(self.dense(x)) + x[..., :1]
    def get_config(self):
        return {**super().get_config(), "units": self.units}

x = keras.Input((6, 6, 1))
capsules = CapsuleLayer(3, 4, routing=Own())(PrimaryCapsule2D(2, 4, 3)(x))
y = Block(5)(keras.layers.Flatten()(capsules))
report = export.export_onnx(keras.Model(x, keras.layers.Dense(2, activation=twice)(y)), "n.onnx")
assert report.passed and "float64" in report.tolerance, report.tolerance
"""


def test_classes_of_a_notebook(tmp_path):
    run_python("-c", NOTEBOOK, cwd=tmp_path)
    assert (tmp_path / "n.onnx").exists()


@once
def test_a_module_of_the_users_on_the_command_line(tmp_path):
    (tmp_path / "mine.py").write_text(
        "import keras\n@keras.saving.register_keras_serializable('mine')\n"
        "class Double(keras.layers.Layer):\n    def call(self, x):\n        return 2 * x\n"
    )
    save = "import keras, mine; x = keras.Input((3,)); "
    save += "keras.Model(x, mine.Double()(x)).save('model.keras')"
    run_python("-c", save, cwd=tmp_path, env={"PYTHONPATH": str(tmp_path)})
    arguments = ("model.keras", "-o", "model.onnx")
    refused = command_line(*arguments, cwd=tmp_path)
    assert refused.returncode == 4 and "--import" in refused.stderr
    assert command_line(*arguments, "--import", "mine", cwd=tmp_path).returncode == 0
    missing = command_line(*arguments, "--force", "--import", "yours", cwd=tmp_path)
    assert missing.returncode == 5 and "No module named 'yours'" in missing.stderr


@pytest.mark.parametrize("policy", ["mixed_float16", "mixed_bfloat16", "float16", "bfloat16"])
def test_precisions(tmp_path, policy, generator):
    keras.utils.set_random_seed(0)
    inputs = keras.Input((8,), name="x")
    hidden = layers.Dense(6, activation="relu", dtype=policy)(inputs)
    hidden = ops.cast(layers.LayerNormalization(dtype=policy)(hidden), "float32")
    model = keras.Model(inputs, layers.Dense(3, name="y")(hidden))
    model.compile("sgd", "mse")
    x = generator.uniform(size=(32, 8)).astype("float32")
    model.fit(x, x[:, :3], verbose=0)
    model.save(tmp_path / "model.keras")
    found = []
    for source in (model, tmp_path / "model.keras"):
        report = export.export_onnx(source, tmp_path / "model.onnx", force=True)
        assert policy in report.to_text() and 0 < report.mixed.max_abs < 0.1
        found.append((tmp_path / "model.onnx").read_bytes())
    assert found[0] == found[1]
    report.save(tmp_path / "report.html")
    assert "For comparison" in (tmp_path / "report.html").read_text()
    assert json.loads(report.to_json())["mixed"]["policies"] == [policy]
    session = onnxruntime.InferenceSession(tmp_path / "model.onnx")
    np.testing.assert_allclose(
        session.run(None, {"x": x})[0], ops.convert_to_numpy(model(x)), atol=0.05
    )


def structures():
    a, b = keras.Input((4,), name="a"), keras.Input((3,), name="b", dtype="int32")
    flag, scalar = keras.Input((2,), name="flag", dtype="bool"), keras.Input((), name="scalar")
    outputs = {
        "dense": [layers.Dense(2)(a), {"whole": ops.sum(b, axis=1)}],
        "not": ops.logical_not(flag),
        "largest": ops.max(a),
        "by_largest": a / ops.max(a),
        "columns": ops.mean(a, axis=0),
        "scaled": scalar * 3,
    }
    return keras.Model({"a": a, "rest": [b, (flag, scalar)]}, outputs)


def test_scalars_and_nested_structures(tmp_path, generator):
    keras.utils.set_random_seed(0)
    model = structures()
    assert export.export_onnx(model, tmp_path / "model.onnx").passed
    arrays = {
        "a": generator.normal(size=(3, 4)).astype("float32"),
        "b": generator.integers(0, 2, size=(3, 3)).astype("int32"),
        "flag": generator.integers(0, 2, size=(3, 2)).astype(bool),
        "scalar": generator.normal(size=(3,)).astype("float32"),
    }
    expected = keras_model.call(model, [arrays[name] for name in keras_model.input_names(model)])
    session = onnxruntime.InferenceSession(tmp_path / "model.onnx")
    for found, own in zip(session.run(None, arrays), expected, strict=True):
        own = ops.convert_to_numpy(own)
        assert found.shape == own.shape and found.dtype == own.dtype
        np.testing.assert_allclose(found, own, atol=1e-6)


@once
def test_outputs_that_are_inputs(tmp_path):
    x = keras.Input((4,), name="x")
    export.export_onnx(keras.Model(x, x), tmp_path / "model.onnx")
    session = onnxruntime.InferenceSession(tmp_path / "model.onnx")
    (found,) = session.run(["x_output"], {"x": np.eye(4, dtype="float32")})
    np.testing.assert_array_equal(found, np.eye(4))


@once
@pytest.mark.parametrize(
    ("make", "words"),
    [
        (lambda: keras.Input((3,), sparse=True, name="x"), "sparse"),
        (lambda: keras.Input((3,), dtype="string", name="x"), "text"),
    ],
)
def test_inputs_that_onnx_does_not_have(tmp_path, make, words):
    x = make()
    outputs = layers.Dense(2)(x) if words == "sparse" else layers.Identity()(x)
    with pytest.raises(export.ConversionError, match=words):
        export.export_onnx(keras.Model(x, outputs), tmp_path / "model.onnx")


@once
def test_a_layer_that_fails_in_the_conversion_names_itself_and_its_error(tmp_path):
    source = "import keras\nclass Picky(keras.layers.Layer):\n    def call(self, x):\n"
    source += "        if keras.backend.backend() == 'tensorflow':\n"
    source += "            raise RuntimeError('not under TensorFlow')\n        return x\n"
    source += "x = keras.Input((3,))\nimport export\n"
    source += "export.export_onnx(keras.Model(x, Picky()(x)), 'model.onnx')\n"
    result = run_python("-c", source, cwd=tmp_path, env={"KERAS_BACKEND": "jax"}, check=False)
    assert "ConversionError" in result.stderr and "not under TensorFlow" in result.stderr
    assert "Picky" in result.stderr


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
