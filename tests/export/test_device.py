import json
import os

import keras
import numpy as np
import onnx
import pytest
from conftest import ROOT, once, run_python
from PIL import Image

import export
from export.device import Predictor, main

pytestmark = [once, pytest.mark.usefixtures("warm_conversions")]  # It never meets Keras.


@pytest.fixture(scope="module")
def predictor(exported_capsnet):
    return Predictor(exported_capsnet[0], threads=1)


@pytest.fixture
def pixels(generator):
    return generator.integers(0, 256, size=(5, 12, 12, 1)).astype("uint8")


def test_predictions_are_the_models(predictor, saved_capsnet, pixels):
    expected = keras.models.load_model(saved_capsnet).predict(pixels / 255.0, verbose=0)
    for images in (pixels, pixels / 255.0):
        found = predictor.predict(images)
        np.testing.assert_allclose([p.scores for p in found], expected, atol=1e-5)
        names = np.array(["ant", "bee", "cat", "dog"])[expected.argmax(axis=1)]
        assert [prediction.label for prediction in found] == names.tolist()
    np.testing.assert_allclose(found[0].score, expected[0].max(), atol=1e-5)
    assert predictor.predict(pixels[0])[0].label == found[0].label
    many = predictor.predict(np.concatenate([pixels] * 15))
    assert len(many) == 75 and many[74].label == found[4].label


def test_outputs_by_name(predictor):
    outputs = predictor.run({"image": np.zeros((2, 12, 12, 1), "float32")})
    assert list(outputs) == ["scores"] and outputs["scores"].shape == (2, 4)


def test_latency(predictor):
    latency = predictor.latency(runs=20)
    assert 0 < latency["p50"] <= latency["p99"]


def test_the_range_of_pixels_is_the_files(tmp_path):
    model = keras.Sequential([keras.Input((2, 2, 3)), keras.layers.Flatten(name="values")])
    export.export_onnx(model, tmp_path / "model.onnx", input_range=(-1, 1))
    predictor = Predictor(tmp_path / "model.onnx")
    pixels = np.full((1, 2, 2, 3), 255, "uint8")
    np.testing.assert_allclose(predictor.predict(pixels)[0].scores, 1.0, atol=1e-6)
    np.testing.assert_allclose(predictor.predict(0 * pixels)[0].scores, -1.0, atol=1e-6)
    assert predictor.predict(pixels)[0].label == "0"


def test_image_files(predictor, tmp_path, pixels, capsys, exported_capsnet):
    Image.fromarray(pixels[0, :, :, 0]).save(tmp_path / "gray.png")
    np.testing.assert_array_equal(predictor.read_image(tmp_path / "gray.png"), pixels[0])
    Image.new("RGBA", (50, 31), "white").save(tmp_path / "large.png")
    assert (predictor.read_image(tmp_path / "large.png") == 255).all()
    np.save(tmp_path / "many.npy", pixels)
    files = [str(tmp_path / name) for name in ("gray.png", "many.npy")]
    assert main([str(exported_capsnet[0]), *files, "--latency"]) == 0
    lines = capsys.readouterr().out.splitlines()
    label = predictor.predict(pixels[:1])[0].label
    assert lines[0].split()[:2] == [files[0], label]
    assert lines[1].split()[:2] == [f"{files[1]}[0]", label]
    assert len(lines) == 7 and lines[6].startswith("latency at batch 1: p50 ")


def test_providers(exported_capsnet, tmp_path, pixels, capsys):
    """One that is missing is an error that names those at hand."""
    np.save(tmp_path / "many.npy", pixels)
    command = [str(exported_capsnet[0]), str(tmp_path / "many.npy"), "--providers"]
    assert main([*command, "CPUExecutionProvider"]) == 0
    assert main([*command, "NoProvider"]) == 5
    told = capsys.readouterr().err
    assert "providers here are" in told and "CPUExecutionProvider" in told


def test_a_process_without_keras(exported_capsnet, tmp_path, pixels, predictor):
    """The copied file alone, with everything but onnxruntime and numpy out of reach."""
    (tmp_path / "device.py").write_text((ROOT / "export/device.py").read_text())
    np.save(tmp_path / "many.npy", pixels)
    block = "import sys; sys.modules.update(dict.fromkeys(sys.argv.pop(1).split()));"
    block += "import device; sys.exit(device.main())"
    absent = "keras keras_capsules export tensorflow torch jax onnx PIL"
    result = run_python(
        *("-c", block, absent, exported_capsnet[0], "many.npy", "--json"),
        cwd=tmp_path,
        env={"PYTHONPATH": str(tmp_path)},
    )
    answer = json.loads(result.stdout)
    expected = [prediction.label for prediction in predictor.predict(pixels)]
    assert [row["label"] for row in answer["predictions"]] == expected
    assert answer["latency_ms"] is None


def test_the_first_prediction_comes_soon(exported_capsnet, tmp_path, pixels):
    Image.fromarray(pixels[0, :, :, 0]).save(tmp_path / "digit.png")
    start = os.times()
    run_python("-m", "export.device", exported_capsnet[0], tmp_path / "digit.png")
    end = os.times()
    seconds = end.children_user + end.children_system
    seconds -= start.children_user + start.children_system
    assert seconds < 2.0  # Of processor time; docs/benchmarks.md has what was measured.


def test_what_it_cannot_use(exported_capsnet, tmp_path, capsys, predictor):
    model = str(exported_capsnet[0])
    (tmp_path / "text.onnx").write_text("not a model")
    (tmp_path / "text.png").write_text("not an image")
    np.save(tmp_path / "wrong.npy", np.zeros((2, 8, 8, 1)))
    np.save(tmp_path / "objects.npy", np.array([{}], dtype=object), allow_pickle=True)
    for code, arguments, words in (
        (5, ["missing.onnx", "a.png"], "no file missing.onnx"),
        (4, [str(tmp_path / "text.onnx"), "a.png"], "cannot be loaded"),
        (5, [model, "missing.png"], "missing.png cannot be read"),
        (5, [model, str(tmp_path)], "no such regular file"),
        (4, [model, str(tmp_path / "text.png")], "text.png cannot be read"),
        (5, [model, str(tmp_path / "wrong.npy")], "(batch, 12, 12, 1)"),
        (4, [model, str(tmp_path / "objects.npy")], "objects.npy cannot be read"),
    ):
        assert main(arguments) == code
        error = capsys.readouterr().err
        assert error.startswith("device: ") and words in error
    with pytest.raises(ValueError, match="Received: \\(3, 3\\)"):
        predictor.predict(np.zeros((3, 3)))
    with pytest.raises(ValueError, match="an array for each of the inputs image"):
        predictor([np.zeros((12, 12, 1))] * 2)


def test_images_that_are_not_plain(predictor, tmp_path):
    upright = np.zeros((12, 12), "uint8")
    upright[:3] = 255
    exif = Image.Exif()
    exif[0x0112] = 6  # Held so that the right side was up.
    Image.fromarray(np.rot90(upright)).save(tmp_path / "phone.png", exif=exif)
    np.testing.assert_array_equal(predictor.read_image(tmp_path / "phone.png")[..., 0], upright)
    Image.fromarray(np.zeros((12, 12), "uint16")).save(tmp_path / "deep.png")
    with pytest.raises(ValueError, match="more than 8 bits"):
        predictor.read_image(tmp_path / "deep.png")
    with pytest.raises(ValueError, match="uint8.*Received: int64"):
        predictor.predict(np.zeros((1, 12, 12, 1), "int64"))


def test_whole_number_inputs_and_outputs_that_are_no_scores(tmp_path):
    words = keras.Input((3,), dtype="int32", name="words")
    embedded = keras.layers.Embedding(9, 4)(words)
    scores = keras.layers.Dense(2, name="scores")(keras.layers.Flatten()(embedded))
    export.export_onnx(keras.Model(words, scores), tmp_path / "words.onnx")
    predictor = Predictor(tmp_path / "words.onnx")
    assert predictor.predict(np.array([[1, 2, 3]]))[0].label in "01"
    assert predictor.latency(runs=3)["p50"] > 0
    export.export_onnx(keras.Model(words, embedded), tmp_path / "maps.onnx")
    with pytest.raises(ValueError, match="gives no scores"):
        Predictor(tmp_path / "maps.onnx").predict(np.array([[1, 2, 3]]))


def test_several_inputs_go_to_run(tmp_path):
    values = [
        onnx.helper.make_tensor_value_info(name, onnx.TensorProto.FLOAT, ["batch", 2])
        for name in ("a", "b", "sum")
    ]
    node = onnx.helper.make_node("Add", ["a", "b"], ["sum"])
    graph = onnx.helper.make_graph([node], "g", values[:2], values[2:])
    model = onnx.helper.make_model(graph, opset_imports=[onnx.helper.make_opsetid("", 17)])
    model.ir_version = 8
    onnx.save(model, tmp_path / "sum.onnx")
    predictor = Predictor(tmp_path / "sum.onnx")
    ones = np.ones((1, 2), "float32")
    np.testing.assert_array_equal(predictor.run({"a": ones, "b": ones})["sum"], 2)
    with pytest.raises(ValueError, match="a, b"):
        predictor.predict(ones)


def test_models_with_several_inputs_and_open_sizes(tmp_path, generator):
    words = keras.Input((None,), dtype="int32", name="words")
    factor = keras.Input((1,), name="factor")
    mean = keras.layers.GlobalAveragePooling1D()(keras.layers.Embedding(20, 3)(words))
    export.export_onnx(keras.Model([words, factor], mean * factor), tmp_path / "model.onnx")
    predictor = Predictor(tmp_path / "model.onnx", providers=["CPUExecutionProvider"])
    assert predictor.shapes == {"words": ("length",), "factor": (1,)}
    output = predictor.session.get_outputs()[0].name
    for length in (1, 17):
        arrays = [generator.integers(0, 20, (2, length)), generator.uniform(size=(2, 1))]
        listed = predictor(arrays)
        named = predictor(dict(zip(["words", "factor"], arrays, strict=True)))
        assert list(listed) == list(named) and listed[output].shape == (2, 3)
        np.testing.assert_array_equal(listed[output], named[output])
    one = predictor([np.arange(4), np.ones(1)])
    assert one[output].shape == (1, 3)
    for wrong, message in (
        ([np.arange(4)], "each of the inputs words, factor"),
        ({"words": np.arange(4), "scale": np.ones(1)}, "each of the inputs words, factor"),
        ([np.arange(4), np.ones((2, 2))], "takes arrays of shape \\(batch, 1\\)"),
    ):
        with pytest.raises(ValueError, match=message):
            predictor(wrong)
    with pytest.raises(ValueError, match="Received: \\['NoProvider'\\]"):
        Predictor(tmp_path / "model.onnx", providers=["NoProvider"])


def test_images_of_any_size(tmp_path):
    image = keras.Input((None, None, 3), name="image")
    pooled = keras.layers.GlobalMaxPooling2D(name="scores")(image)
    export.export_onnx(keras.Model(image, pooled), tmp_path / "model.onnx")
    Image.new("RGB", (50, 31), (255, 0, 0)).save(tmp_path / "red.png")
    predictor = Predictor(tmp_path / "model.onnx")
    assert predictor.read_image(tmp_path / "red.png").shape == (31, 50, 3)
    assert main([str(tmp_path / "model.onnx"), str(tmp_path / "red.png")]) == 0
