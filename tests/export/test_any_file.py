"""Files of other exporters, compared with the model."""

import keras
import numpy as np
import onnx
import pytest
from conftest import once, run_python

import export
import keras_capsules

pytestmark = once


@pytest.fixture(scope="module")
def model():
    keras.utils.set_random_seed(0)
    return keras_capsules.create_model("cnn_baseline", size="tiny", input_shape=(12, 12, 1))


@pytest.fixture(scope="module")
def theirs(model, tmp_path_factory):
    """Keras' own export, whose nodes, inputs and outputs have other names."""
    path = tmp_path_factory.mktemp("theirs") / "theirs.onnx"
    model(np.zeros((1, 12, 12, 1), "float32"))
    model.export(path, format="onnx", verbose=False)
    file = onnx.load(path)
    old, new = file.graph.output[0].name, "their_output"
    file.graph.output[0].name = new
    for node in file.graph.node:
        node.output[:] = [new if name == old else name for name in node.output]
    onnx.save(file, path)
    return path


def scaled(path, target, factor):
    """Writes a copy in which one row of the last kernel is scaled."""
    file = onnx.load(path)
    for tensor in file.graph.initializer:
        array = onnx.numpy_helper.to_array(tensor)
        if array.ndim == 2 and array.dtype == np.float32:
            array = array.copy()
            array[0] *= factor
            tensor.CopyFrom(onnx.numpy_helper.from_array(array, tensor.name))
    onnx.save(file, target)
    return target


def test_a_right_file_passes(model, theirs):
    before = theirs.read_bytes()
    report = export.compare(model, theirs)
    assert report.passed and report.foreign
    assert report.target == str(theirs) and theirs.read_bytes() == before
    assert sum(part.error is not None for part in report.parts) >= 4


def test_a_wrong_file_fails_without_an_error(model, theirs, tmp_path):
    report = export.compare(model, scaled(theirs, tmp_path / "wrong.onnx", 1.001))
    assert not report.passed
    assert "not written" not in report.to_text()


def test_its_own_files_and_others_batch(model, theirs, tmp_path):
    export.export_onnx(model, tmp_path / "own.onnx", batch=3)
    report = export.compare(model, tmp_path / "own.onnx")
    assert report.passed and report.first_divergence is None
    assert sum(part.error is not None for part in report.parts) >= 4
    wrong = export.compare(model, scaled(tmp_path / "own.onnx", tmp_path / "wrong.onnx", 1.01))
    dense = [layer.name for layer in model.layers if isinstance(layer, keras.layers.Dense)]
    assert wrong.first_divergence.split(" or ")[-1] in dense  # Each of them was changed.


def test_files_that_do_not_correspond(model, theirs, tmp_path):
    x = keras.Input((12, 12, 1), name="image")
    two = keras.Model(x, [keras.layers.Flatten()(x), keras.layers.GlobalMaxPooling2D()(x)])
    with pytest.raises(export.UsageError, match="the file their_output"):
        export.compare(two, theirs)
    with pytest.raises(export.UsageError, match="no file"):
        export.compare(model, tmp_path / "missing.onnx")
    (tmp_path / "text.onnx").write_text("not a model")
    with pytest.raises(export.RefusedInputError, match="damaged"):
        export.compare(model, tmp_path / "text.onnx")


def test_the_command_line(model, theirs, tmp_path):
    model.save(tmp_path / "model.keras")
    scaled(theirs, tmp_path / "wrong.onnx", 1.01)
    (tmp_path / "text.onnx").write_text("not a model")
    for file, code in ((theirs, 0), ("wrong.onnx", 1), ("text.onnx", 4), ("missing.onnx", 5)):
        arguments = ("-m", "export.compare", "model.keras", file)
        arguments += ("--report", "report.json", "--force")
        result = run_python(*arguments, cwd=tmp_path, check=False)
        assert result.returncode == code, result.stderr
        assert "Traceback" not in result.stderr
    assert (tmp_path / "report.json").exists()
