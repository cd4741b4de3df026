"""Preprocessing inside the file."""

import keras
import numpy as np
import onnxruntime
import pytest
from conftest import once

import export

pytestmark = [once, pytest.mark.usefixtures("warm_conversions")]


def test_a_value_for_each_channel(tmp_path, generator):
    """The model passes its inputs on, so that they can be compared with the formula."""
    image, number = keras.Input((2, 3, 3), name="image"), keras.Input((1,), name="number")
    outputs = {"values": keras.layers.Flatten()(image), "twice": 2 * number}
    model = keras.Model({"image": image, "number": number}, outputs)
    mean, std = [0.1, 0.2, 0.3], [0.5, 1, 2]
    path = tmp_path / "model.onnx"
    options = {"preprocess": True, "mean": mean, "std": std, "layout": "channels_first"}
    options |= {"min_onnxruntime": "1.8"}
    report = export.export_onnx(model, path, input_range=(-1, 1), **options)
    assert (report.file.opset, report.file.ir_version) == (14, 7)
    inputs = {
        "image": generator.integers(0, 256, (4, 3, 2, 3)).astype("uint8"),
        "number": generator.uniform(size=(4, 1)).astype("float32"),
    }
    session = onnxruntime.InferenceSession(path)
    values, twice = session.run(["values", "twice"], inputs)
    channels_last = inputs["image"].astype("float64").transpose(0, 2, 3, 1)
    expected = (channels_last / 127.5 - 1 - mean) / std
    np.testing.assert_allclose(values, expected.reshape(4, -1), atol=1e-6)
    np.testing.assert_allclose(twice, 2 * inputs["number"])
    assert model.inputs[0].dtype == "float32"  # The caller's model is left as it was.
