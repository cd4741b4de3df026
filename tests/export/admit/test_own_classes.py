"""Layers and functions of the user's own, in notebooks and on the command line."""

import pytest
from conftest import command_line, once, run_python

pytestmark = pytest.mark.usefixtures("warm_conversions")

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
