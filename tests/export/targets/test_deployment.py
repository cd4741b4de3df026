"""The options for a device, all at once: runtime, batch, preprocessing, `.ort` copy and profile."""

import json

import numpy as np
import onnx
import pytest
from conftest import command_line, once
from onnx import TensorProto
from PIL import Image

from export.device import Predictor
from export.verify import verify

pytestmark = once


@pytest.fixture(scope="module")
def baked(saved_capsnet, tmp_path_factory):
    """Path of a file with every option at once, and its report as JSON."""
    folder = tmp_path_factory.mktemp("baked")
    pixels = np.random.default_rng(1).integers(0, 256, (7, 1, 12, 12)).astype("uint8")
    np.savez(folder / "data.npz", image=pixels)
    result = command_line(
        *(saved_capsnet, "-o", folder / "model.onnx", "--data", folder / "data.npz"),
        *("--preprocess", "--input-range", -1, 1, "--mean", 0.5, "--std", 0.25),
        *("--layout", "channels_first", "--batch", 3, "--min-onnxruntime", 1.16),
        *("--ort", "--profile", "web", "--report", folder / "report.json"),
    )
    assert result.returncode == 0, result.stderr
    return folder / "model.onnx", json.loads((folder / "report.json").read_text()), result.stdout


def test_raw_pixels_give_the_scores_of_the_file_without_preprocessing(
    baked, exported_capsnet, tmp_path, generator
):
    pixels = generator.integers(0, 256, size=(8, 12, 12, 1)).astype("uint8")
    floats = (-1 + pixels.astype("float64") / 255 * 2 - 0.5) / 0.25
    expected = Predictor(exported_capsnet[0]).predict(floats)
    for path in (baked[0], baked[0].with_suffix(".ort")):
        predictor = Predictor(path)
        assert (predictor.layout, predictor.batch) == ("channels_first", 3)
        found = predictor.predict(pixels.transpose(0, 3, 1, 2))
        assert len(found) == 8
        for one, other in zip(found, expected, strict=True):
            np.testing.assert_allclose(one.scores, other.scores, atol=1e-5)
    Image.fromarray(pixels[0, :, :, 0]).save(tmp_path / "gray.png")
    image = predictor.read_image(tmp_path / "gray.png")
    np.testing.assert_array_equal(image, pixels[0].transpose(2, 0, 1))
    np.testing.assert_array_equal(predictor.predict(image)[0].scores, found[0].scores)
    assert predictor.latency(runs=3)["p50"] > 0
    for wrong in (np.zeros((1, 1, 12, 12)), np.zeros((1, 1, 12, 12), "int64")):
        with pytest.raises(ValueError, match=f"as uint8.*Received: {wrong.dtype}"):
            predictor.predict(wrong)


def test_a_fixed_batch_leaves_no_open_axis(baked):
    path, report, _ = baked
    model = onnx.load(path)
    graph = onnx.shape_inference.infer_shapes(model, strict_mode=True).graph
    values = [*graph.input, *graph.value_info, *graph.output]
    assert {output for node in graph.node for output in node.output} <= {v.name for v in values}
    dims = [dim for value in values for dim in value.type.tensor_type.shape.dim]
    assert all(dim.HasField("dim_value") for dim in dims)
    assert report["file"]["inputs"] == ["image (3, 1, 12, 12)"]
    assert model.graph.input[0].type.tensor_type.elem_type == TensorProto.UINT8
    assert report["file"]["outputs"] == ["scores (3, 4)"]
    assert not {node.op_type for node in graph.node} & {"Shape", "Gather", "Slice", "Concat"}
    samples = {entry["suite"]: entry["samples"] for entry in report["comparisons"]}
    whole = {"random, batch 3": 3, "zeros": 3, "constant": 3}
    sealed = {f"sealed, {name}": count for name, count in whole.items()}
    assert samples == {**whole, **sealed, "random, 3 batches": 9, "real": 9}


def test_the_file_and_its_report_say_what_was_chosen(baked):
    path, report, text = baked
    properties = {entry.key: entry.value for entry in onnx.load(path).metadata_props}
    assert json.loads(properties["preprocessing"]) == {
        **{"by": "file", "pixels": "uint8", "layout": "channels_first"},
        **{"input_range": [-1, 1], "mean": [0.5], "std": [0.25]},
    }
    assert json.loads(properties["input_range"]) == [0, 255]
    assert (report["file"]["opset"], report["file"]["ir_version"]) == (17, 8)
    assert {entry["check"]: entry["passed"] for entry in report["edge"]} == {
        **dict.fromkeys(("shapes", "onnxruntime", "operations", "types"), True),
        **dict.fromkeys(("transposes", "size")),
    }
    assert "run on onnxruntime 1.12 and later, 1.16 was asked for" in text
    webassembly, webgpu = report["profile"]["providers"]
    assert webassembly["unsupported"] == []
    assert [node["operation"] for node in webgpu["unsupported"]] == ["Cast"]
    assert "uint8" in webgpu["unsupported"][0]["reason"]


def test_the_copy(baked):
    path, report, text = baked
    copy = path.with_suffix(".ort").read_bytes()
    assert copy[4:8] == b"ORTM" and report["ort"]["bytes"] == len(copy)
    assert report["ort"]["identical_on"] == [e["suite"] for e in report["comparisons"]]
    assert "same outputs, bit for bit, in 8 comparisons" in text
    operators = path.with_suffix(".required_operators.config").read_text()
    assert "# - model.ort\n" in operators and "Softmax" in operators
    assert {file.name for file in path.parent.iterdir()} == {
        *("data.npz", "report.json", "model.onnx", "model.onnx.golden.npz", "model.ort"),
        "model.required_operators.config",
    }
    assert verify(path).passed
