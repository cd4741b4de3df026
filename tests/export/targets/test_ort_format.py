"""The `.ort` copy."""

import keras
import onnx
import pytest
from conftest import once

import export
from export.compare.suites import suite_set
from export.targets import ort_format

pytestmark = once


def test_a_copy_that_computes_something_else(exported_capsnet, saved_capsnet, tmp_path):
    path = exported_capsnet[0]
    changed = onnx.load(path)
    weight = next(x for x in changed.graph.initializer if x.name.endswith("conv/W"))
    array = onnx.numpy_helper.to_array(weight) * 1.001
    weight.CopyFrom(onnx.numpy_helper.from_array(array, weight.name))
    copy, _ = ort_format.to_ort(changed.SerializeToString(), path)
    model = keras.models.load_model(saved_capsnet)
    inputs = suite_set(model).ordinary
    with pytest.raises(export.ConversionError, match="gives another 'scores'.*random, batch 1"):
        ort_format.check_copy(model, path.read_bytes(), copy, inputs)


def test_targets_of_the_copy(saved_capsnet, tmp_path):
    with pytest.raises(export.UsageError, match="name of its .ort copy"):
        export.export_onnx(saved_capsnet, tmp_path / "model.ort")
    (tmp_path / "model.ort").write_bytes(b"old")
    with pytest.raises(export.UsageError, match="model.ort exists. Pass --force"):
        export.export_onnx(saved_capsnet, tmp_path / "model.onnx")
    words = keras.Sequential([keras.Input((3,), dtype="int32"), keras.layers.Embedding(9, 4)])
    with pytest.raises(export.UsageError, match="one float input of images"):
        export.export_onnx(words, tmp_path / "words.onnx", preprocess=True)
    assert [path.name for path in tmp_path.iterdir()] == ["model.ort"]
