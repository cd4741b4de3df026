"""Models of each precision that Keras runs."""

import json

import keras
import numpy as np
import onnxruntime
import pytest

import export

pytestmark = pytest.mark.usefixtures("warm_conversions")

layers, ops = keras.layers, keras.ops


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
