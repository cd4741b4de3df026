"""The options for a device: runtime, batch, preprocessing, `.ort` twin, profile and checklist."""

import json
import os

import keras
import numpy as np
import onnx
import onnxruntime
import pytest
from conftest import command_line, once
from onnx import TensorProto, helper
from PIL import Image

import export
from export import edge, ort_format, profiles, runtimes, suites
from export.device import Predictor
from export.verify import verify
from export.write import write_together

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
        with pytest.raises(ValueError, match=f"Pass uint8. Received: {wrong.dtype}"):
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


def test_the_twin(baked):
    path, report, text = baked
    twin = path.with_suffix(".ort").read_bytes()
    assert twin[4:8] == b"ORTM" and report["ort"]["bytes"] == len(twin)
    assert report["ort"]["identical_on"] == [e["suite"] for e in report["comparisons"]]
    assert "same outputs, bit for bit, in 8 comparisons" in text
    operators = path.with_suffix(".required_operators.config").read_text()
    assert "# - model.ort\n" in operators and "Softmax" in operators
    assert {file.name for file in path.parent.iterdir()} == {
        *("data.npz", "report.json", "model.onnx", "model.onnx.golden.npz", "model.ort"),
        "model.required_operators.config",
    }
    assert verify(path).passed


def test_a_twin_that_computes_something_else(exported_capsnet, saved_capsnet, tmp_path):
    path = exported_capsnet[0]
    changed = onnx.load(path)
    weight = next(x for x in changed.graph.initializer if x.name.endswith("conv/W"))
    array = onnx.numpy_helper.to_array(weight) * 1.001
    weight.CopyFrom(onnx.numpy_helper.from_array(array, weight.name))
    twin, _ = ort_format.convert(changed.SerializeToString(), path)
    model = keras.models.load_model(saved_capsnet)
    inputs = suites.suites(model)
    with pytest.raises(export.ConversionError, match="gives another 'scores'.*random, batch 1"):
        ort_format.verify(model, path.read_bytes(), twin, inputs)


@pytest.mark.parametrize("failing", [0, 1, 2])
def test_no_old_twin_stands_beside_a_new_file(tmp_path, monkeypatch, failing):
    paths = [tmp_path / name for name in ("model.onnx", "model.ort", "model.config")]
    for path in paths:
        path.write_bytes(b"old")
    replace, calls = os.replace, []

    def fail(source, target):
        calls.append(target)
        if len(calls) == failing + 1:
            raise OSError(28, "No space left on device")
        replace(source, target)

    monkeypatch.setattr(os, "replace", fail)
    with pytest.raises(export.UsageError, match=f"{paths[failing].name} cannot be written"):
        write_together(dict.fromkeys(paths, b"new"), derived=paths[1:])
    found = {path.name: path.read_bytes() for path in tmp_path.iterdir()}
    assert found == {"model.onnx": b"old"} if failing == 0 else set(found.values()) == {b"new"}
    assert len(found) == max(failing, 1)


def test_no_room_for_the_twin_leaves_all_as_it_was(tmp_path, monkeypatch):
    paths = [tmp_path / "model.onnx", tmp_path / "model.ort"]
    for path in paths:
        path.write_bytes(b"old")
    fsync, calls = os.fsync, []

    def fail(file):
        calls.append(file)
        if len(calls) == 2:
            raise OSError(28, "No space left on device")
        fsync(file)

    monkeypatch.setattr(os, "fsync", fail)
    with pytest.raises(export.UsageError, match="model.ort cannot be written.*unchanged"):
        write_together(dict.fromkeys(paths, b"new"), derived=paths[1:])
    assert [path.read_bytes() for path in paths] == [b"old", b"old"]
    assert sorted(tmp_path.iterdir()) == paths


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
    assert (report.file["opset"], report.file["ir_version"]) == (14, 7)
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


def test_uint8_inputs_are_compared_on_pixels():
    model = keras.Sequential([keras.Input((4, 4, 3), dtype="uint8"), keras.layers.Flatten()])
    inputs = {suite.name: suite.inputs[0] for suite in suites.suites(model, (0, 1))}
    assert {array.dtype for array in inputs.values()} == {np.dtype("uint8")}
    assert len(np.unique(inputs["random, batch 32"])) > 200
    assert (inputs["zeros"] == 0).all() and (inputs["constant"] == 255).all()
    assert not any("huge" in name or "tiny" in name for name in inputs)


@pytest.mark.parametrize(
    "options, words",
    [
        ({"min_onnxruntime": "1.5"}, "from 1.6 on.*Received: '1.5'"),
        ({"min_onnxruntime": "1.400"}, "Received: '1.400'"),
        ({"min_onnxruntime": "new"}, "Received: 'new'"),
        ({"min_onnxruntime": "1.11", "opset": 17}, "opset from 13 to 16.*from 1.12 on"),
        ({"opset": 19}, "opset must be from 13 to 18"),
        ({"min_onnxruntime": "1.15", "ort": True}, "read by onnxruntime 1.16 and later"),
        ({"batch": 1, "via": "jax"}, "Only tf2onnx fixes the batch"),
        ({"batch": 0}, "batch must be 1 or more"),
        ({"mean": [0.5]}, "mean would be baked into the file: add --preprocess"),
        ({"preprocess": True, "std": [0.0]}, "above 0"),
        ({"preprocess": True, "layout": "NCHW"}, "layout must be one of"),
        ({"preprocess": True, "mean": [1, 2, 3]}, "one mean for all channels or 1"),
        ({"preprocess": True, "data": {"image": np.zeros((1, 12, 12, 1))}}, "must be uint8"),
        ({"profile": "phone"}, "profile must be one of"),
    ],
)
def test_what_cannot_be_had(saved_capsnet, tmp_path, options, words):
    with pytest.raises(export.UsageError, match=words):
        export.export_onnx(saved_capsnet, tmp_path / "model.onnx", **options)
    assert not list(tmp_path.iterdir())


def test_targets_of_the_twin(saved_capsnet, tmp_path):
    with pytest.raises(export.UsageError, match="name of its .ort twin"):
        export.export_onnx(saved_capsnet, tmp_path / "model.ort")
    (tmp_path / "model.ort").write_bytes(b"old")
    with pytest.raises(export.UsageError, match="model.ort exists. Pass --force"):
        export.export_onnx(saved_capsnet, tmp_path / "model.onnx")
    words = keras.Sequential([keras.Input((3,), dtype="int32"), keras.layers.Embedding(9, 4)])
    with pytest.raises(export.UsageError, match="one float input of images"):
        export.export_onnx(words, tmp_path / "words.onnx", preprocess=True)
    assert [path.name for path in tmp_path.iterdir()] == ["model.ort"]


def test_opsets_of_releases():
    chosen = {m: runtimes.choose_opset(None, m) for m in ("1.6", "1.8", "1.10", "1.11", "1.20")}
    assert chosen == {"1.6": 13, "1.8": 14, "1.10": 15, "1.11": 16, "1.20": 17}
    assert runtimes.choose_opset(None, None) == 17
    assert runtimes.choose_opset(18, "1.14.1") == 18
    assert [runtimes.oldest_for(*pair) for pair in ((13, 7), (17, 8), (18, 8))] == [
        *("1.6", "1.12", "1.14")
    ]


def hand_made(nodes, inputs, outputs, initializers=()):
    graph = helper.make_graph(
        nodes,
        "hand-made",
        [helper.make_tensor_value_info(*value) for value in inputs],
        [helper.make_tensor_value_info(*value) for value in outputs],
        [onnx.numpy_helper.from_array(array, name) for name, array in initializers],
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)])
    model.ir_version = 8
    return model


def test_profiles_name_nodes_and_layers():
    model = hand_made(
        [
            helper.make_node("MatMul", ["x", "w"], ["a"], name="caps/votes/matmul"),
            helper.make_node("Softmax", ["a"], ["b"], name="caps/softmax", axis=1),
            helper.make_node("Softmax", ["b"], ["c"], name="caps/softmax_2", axis=-1),
            helper.make_node("ReduceSum", ["c", "axes"], ["d"], name="sum/reducesum"),
            helper.make_node("Det", ["d"], ["y"], name="det"),
        ],
        [("x", TensorProto.FLOAT, ["batch", 3, 4])],
        [("y", TensorProto.FLOAT, None)],
        [("w", np.zeros((4, 4), "float32")), ("axes", np.array([0]))],
    )
    found = {
        entry["provider"]: {node["node"]: node["layer"] for node in entry["unsupported"]}
        for name in ("cpu", "web", "mobile")
        for entry in profiles.examine(model, name)["providers"]
    }
    assert found["CPU"] == found["WebAssembly"] == {}
    assert found["WebGPU"] == found["CoreML"] == {"det": None}
    assert found["NNAPI"] == {"sum/reducesum": "sum", "det": None}
    assert found["XNNPACK"] == {
        **{"caps/votes/matmul": "caps", "caps/softmax": "caps"},
        **{"sum/reducesum": "sum", "det": None},
    }
    nnapi = profiles.examine(model, "mobile")["providers"][-1]
    assert "static shapes only" in nnapi["remark"]


def test_the_checklist_finds_what_stands_in_the_way():
    model = hand_made(
        [
            helper.make_node("Transpose", ["x"], ["t"], name="turn/transpose", perm=[1, 0]),
            helper.make_node("Cast", ["t"], ["d"], name="wide/cast", to=TensorProto.DOUBLE),
            helper.make_node("Exp", ["d"], ["e"], name="wide/exp"),
            helper.make_node("Reshape", ["e", "shape"], ["r"], name="wide/reshape"),
            helper.make_node("Einsum", ["r"], ["y"], name="sum/einsum", equation="i->"),
        ],
        [("x", TensorProto.FLOAT, ["batch", "width"])],
        [("y", TensorProto.DOUBLE, [])],
        [("shape", np.array([-1]))],
    )
    content = model.SerializeToString()
    checks = {entry["check"]: entry for entry in edge.checklist(model, content, "1.12")}
    passed = {name: entry["passed"] for name, entry in checks.items()}
    assert passed == {
        **{"shapes": False, "onnxruntime": True, "operations": False, "types": False},
        **{"transposes": None, "size": None},
    }
    assert "'batch', 'width'" in checks["shapes"]["finding"]
    assert checks["operations"]["finding"].endswith(": sum/einsum")
    found = checks["types"]["finding"]
    assert "wide/exp (float64)" in found and "(int64)" not in found
    assert checks["transposes"]["finding"] == "1 remain: turn/transpose"
    assert checks["size"]["finding"] == f"{len(content):,} bytes, 8 of them weights"
    assert not edge.checklist(model, content, "1.11")[1]["passed"]
