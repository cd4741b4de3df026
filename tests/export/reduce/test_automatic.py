"""`precision="auto"` takes the smallest file that loses little and is not slower."""

import json

import keras
import numpy as np
import onnxruntime
import pytest
from conftest import once

import export
from export.reduce.automatic import candidates, chosen
from export.results import Judgement, Row
from export.verify import verify

pytestmark = once


def judged(precision, size, ms, drop=0.0):
    rows = [Row("float32", 100, 5, 1.0, 99.0, 0.0), Row(precision, size, 5, ms, 99.0 - drop, 0.1)]
    return Judgement(precision, "accuracy", 99.0, drop, 0.5, rows, [], drop <= 0.5)


@pytest.mark.parametrize(
    "float16, int8, expected",
    [
        ((50, 1.0), (30, 0.6), "int8"),
        ((50, 1.0), (30, 0.6, 2.0), "float16"),  # int8 loses too much,
        ((50, 1.5), (30, 0.6, 2.0), "float32"),  # and float16 is slower.
        ((50, 1.04), (30, 1.06), "float16"),
        ((110, 0.5), (100, 0.5), "float32"),  # They are not smaller.
    ],
)
def test_the_smallest_that_is_good(float16, int8, expected):
    found = chosen([judged("float16", *float16), judged("int8", *int8)])
    assert found.precision == expected and found.passed
    assert [row.precision for row in found.rows] == ["float32", "float16", "int8"]
    assert found.drop <= 0.5


@pytest.mark.usefixtures("warm_conversions")
def test_an_export(tmp_path, generator):
    """What is written is what the table says, and verified."""
    image = keras.Input((12, 12, 1), name="image")
    x = keras.layers.Conv2D(32, 3, activation="relu")(image)
    x = keras.layers.Conv2D(32, 3, activation="relu")(x)
    x = keras.layers.GlobalAveragePooling2D()(x)
    model = keras.Model(image, keras.layers.Dense(3, activation="softmax", name="scores")(x))
    images = generator.uniform(size=(60, 12, 12, 1)).astype("float32")
    target = tmp_path / "model.onnx"
    options = {"precision": "auto", "max_drop": 100, "data": {"image": images}}
    report = export.export_onnx(model, target, **options)
    rows = {row.precision: row for row in report.precision.rows}
    assert list(rows) == ["float32", "float16", "int8"]
    name = report.precision.precision
    assert rows[name].bytes == target.stat().st_size == report.file.bytes
    assert f"auto: {name} is the smallest of those" in report.to_text()
    properties = onnxruntime.InferenceSession(target).get_modelmeta().custom_metadata_map
    assert properties.get("precision", "float32") == name
    assert json.loads(report.to_json())["verdict"] == "passed" and verify(target).passed
    np.testing.assert_allclose(
        onnxruntime.InferenceSession(target).run(None, {"image": images[:4]})[0],
        model.predict(images[:4], verbose=0),
        atol=0.1,
    )


def test_int8_needs_data_and_products(exported_capsnet):
    import onnx

    file = onnx.load(exported_capsnet[0])
    with_data = export.ExportOptions(precision="auto", data={"image": np.zeros((4, 12, 12, 1))})
    assert candidates(file, with_data) == ["float16", "int8"]
    assert candidates(file, export.ExportOptions(precision="auto")) == ["float16"]
    del file.graph.node[:]
    assert candidates(file, with_data) == ["float16"]
