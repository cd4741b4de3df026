"""Signals and masks on a device: files in, files out, and what is refused."""

import json
import wave

import keras
import numpy as np
import onnx
import pytest
from conftest import ROOT, once, run_python
from onnx import TensorProto, helper
from PIL import Image

import export
from export.device import main
from export.device_files import class_map, png_of, read_signal

pytestmark = once


def write_model(path, node, shape, out_shape, kind="classes"):
    """A file as the export writes it, of one node."""
    values = [
        helper.make_tensor_value_info(name, TensorProto.FLOAT, sizes)
        for name, sizes in ((node.input[0], shape), (node.output[0], out_shape))
    ]
    graph = helper.make_graph([node], "graph", values[:1], values[1:])
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)
    helper.set_model_props(model, {"task": json.dumps({"kind": kind})})
    onnx.save(model, path)


def write_wav(path, samples, width):
    with wave.open(str(path), "wb") as file:
        file.setparams((samples.shape[1], width, 8000, 0, "NONE", ""))
        file.writeframes(samples.tobytes())


@pytest.fixture
def mean_model(tmp_path):
    """Its scores are the means of the two channels."""
    node = helper.make_node("ReduceMean", ["signal"], ["scores"], axes=[1], keepdims=0)
    write_model(tmp_path / "mean.onnx", node, ["batch", "length", 2], ["batch", 2])
    return tmp_path / "mean.onnx"


def test_signals_are_read_and_classified(mean_model, tmp_path):
    """By the copied files alone, with everything but onnxruntime and numpy out of reach."""
    for name in ("device.py", "device_files.py"):
        (tmp_path / name).write_text((ROOT / "export" / name).read_text())
    (tmp_path / "beat.csv").write_text("left,right\n0.5,1\n\n1.5,-1\n")
    write_wav(tmp_path / "beat.wav", np.array([[16384, 0], [0, -32768]], "<i2"), 2)
    block = "import sys; sys.modules.update(dict.fromkeys(sys.argv.pop(1).split()));"
    block += "import device; sys.exit(device.main())"
    absent = "keras keras_capsules export tensorflow torch jax onnx PIL"
    command = ("-c", block, absent, mean_model, "beat.csv", "beat.wav", "--json")
    found = run_python(*command, cwd=tmp_path, env={"PYTHONPATH": str(tmp_path)})
    rows = json.loads(found.stdout)["predictions"]
    assert [(row["label"], row["score"]) for row in rows] == [("0", 1.0), ("0", 0.25)]
    (tmp_path / "device_files.py").unlink()
    found = run_python(*command, cwd=tmp_path, env={"PYTHONPATH": str(tmp_path)}, check=False)
    assert found.returncode == 5 and "device_files" in found.stderr


@pytest.mark.parametrize("width, kind", [(1, "u1"), (2, "<i2"), (4, "<i4")])
def test_samples_of_a_wav_become_minus_one_to_one(tmp_path, width, kind):
    most = np.iinfo(kind)
    middle = (most.max + most.min + 1) // 2
    samples = np.array([[most.min], [middle], [most.max]]).astype(kind)
    write_wav(tmp_path / "a.wav", samples, width)
    found = read_signal(tmp_path / "a.wav", ("length", 1))
    np.testing.assert_allclose(found[:, 0], [-1, 0, 1], atol=2.0 ** (1 - 8 * width) + 1e-7)


@pytest.mark.parametrize(
    "text, words",
    [
        ("", "no steps"),
        ("left,right\n", "no steps"),
        ("1,2\n3,nan\n", "step 1 is NaN or infinite"),
        ("1,2\n3\n", "different numbers of values"),
        ("1,2,3\n", r"takes \('length', 2\), and this is a signal \(1, 3\)"),
        ("1,2\n3,x\n", "could not convert"),
    ],
)
def test_signals_that_do_not_fit(mean_model, tmp_path, capsys, text, words):
    path = tmp_path / "beat.csv"
    path.write_text(text)
    with pytest.raises(ValueError, match=words):
        read_signal(path, ("length", 2))
    assert main([str(mean_model), str(path)]) == 4
    assert "beat.csv cannot be read" in capsys.readouterr().err


def test_a_signal_of_another_length(tmp_path):
    (tmp_path / "a.csv").write_text("1\n2\n3\n")
    with pytest.raises(ValueError, match=r"takes \(4, 1\), and this is a signal \(3, 1\)"):
        read_signal(tmp_path / "a.csv", (4, 1))


def test_masks_are_written(tmp_path, monkeypatch, capsys, generator):
    node = helper.make_node("Identity", ["image"], ["scores"])
    shape = ["batch", "height", "width", 3]
    write_model(tmp_path / "model.onnx", node, shape, shape, "segmentation")
    monkeypatch.chdir(tmp_path)
    pixels = generator.integers(256, size=(2, 5, 7, 3)).astype("uint8")
    Image.fromarray(pixels[0]).save("photo.png")
    np.save("many.npy", pixels)
    assert main(["model.onnx", "photo.png", "many.npy"]) == 0
    lines = [line.split() for line in capsys.readouterr().out.splitlines()]
    names = ["photo.mask.png", "many.0.mask.png", "many.1.mask.png"]
    assert [line[1] for line in lines] == names
    mean = pixels[0].max(axis=-1).mean() / 255
    assert float(lines[0][2]) == pytest.approx(mean, abs=1e-4)
    for name, image in zip(names, pixels[[0, 0, 1]], strict=True):
        with Image.open(name) as mask:
            assert mask.mode == "P"
            np.testing.assert_array_equal(np.asarray(mask), image.argmax(axis=-1))
            assert mask.convert("RGB").getcolors(35) is not None


def test_masks_are_of_the_scores_in_batches_of_the_file(tmp_path, monkeypatch, capsys, generator):
    pixels = keras.Input((4, 5, 3), name="pixels")
    scores = keras.layers.Conv2D(3, 1, activation="softmax", name="scores")(pixels)
    model = keras.Model(pixels, {"features": keras.layers.Conv2D(9, 1)(pixels), "scores": scores})
    export.export_onnx(model, tmp_path / "model.onnx", batch=4, task="segmentation")
    monkeypatch.chdir(tmp_path)
    images = generator.integers(256, size=(6, 4, 5, 3)).astype("uint8")
    np.save("many.npy", images)
    assert main(["model.onnx", "many.npy"]) == 0
    assert len(capsys.readouterr().out.splitlines()) == 6
    expected = model.predict(images / 255, verbose=0)["scores"].argmax(axis=-1)
    for number, classes in enumerate(expected):
        with Image.open(f"many.{number}.mask.png") as mask:
            np.testing.assert_array_equal(np.asarray(mask), classes)
    np.save("many.npy", images.astype("int64"))
    assert main(["model.onnx", "many.npy"]) == 5
    assert "as uint8" in capsys.readouterr().err
    (tmp_path / "other").mkdir()
    assert main(["model.onnx", "many.npy", "other/many.npy"]) == 5
    assert "Rename them" in capsys.readouterr().err


@pytest.mark.parametrize("value", [np.nan, np.inf])
@pytest.mark.parametrize("task", ["classes", "segmentation"])
def test_arrays_with_gaps_are_refused(tmp_path, monkeypatch, capsys, value, task):
    monkeypatch.chdir(tmp_path)
    node = helper.make_node("Relu", ["signal"], ["scores"])
    shape = ["batch", 3] if task == "classes" else ["batch", "height", "width", 3]
    write_model(tmp_path / "model.onnx", node, shape, shape, task)
    many = np.ones((40, *[4 if isinstance(size, str) else size for size in shape[1:]]), "float32")
    np.save("many.npy", many)
    assert main(["model.onnx", "many.npy"]) == 0
    many[35, ..., 1] = value
    np.save("many.npy", many)
    assert main(["model.onnx", "many.npy"]) == 5
    assert "NaN or infinite" in capsys.readouterr().err


def test_a_mask_of_one_class_and_of_many(tmp_path):
    scores = np.array([[[0.2], [0.7]]])
    assert class_map(scores).tolist() == [[0, 1]] and class_map(scores, 0.1).tolist() == [[1, 1]]
    mask = np.arange(256, dtype="uint8").reshape(16, 16)
    (tmp_path / "mask.png").write_bytes(png_of(mask))
    with Image.open(tmp_path / "mask.png") as found:
        np.testing.assert_array_equal(np.asarray(found), mask)


def test_a_window_slides_over_a_stream(mean_model):
    steps = "".join(f"{step},{-step}\n" for step in range(1, 10))
    command = ("-m", "examples.stream", mean_model, "--window", "4", "--hop", "3")
    lines = run_python(*command, input=steps).stdout.splitlines()
    assert [line.split()[:3] for line in lines[:2]] == [["4", "0", "2.500"], ["7", "0", "5.500"]]
    assert len(lines) == 3 and lines[2].startswith("budget 60 ms; p99 of 2 answers ")
    for options, text, words in (
        (command[:3], steps, "for an open length a `--window`"),
        (command, "1,2\n3\n", "Step 2 must be 2 numbers"),
        (command, "1,nan\n", "Step 1 must be 2 numbers"),
    ):
        found = run_python(*options, input=text, check=False)
        assert found.returncode == 5 and words in found.stderr
