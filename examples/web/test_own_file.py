"""Tests the page of a user's own file: three files that the export wrote, and others."""

import base64
import json

import keras
import numpy as np
import onnx
import pytest
from PIL import Image
from playwright.sync_api import expect

import export
import keras_capsules
from examples.web.visit import DIGITS, LOADING, image_of, pixels_of, screenshot
from export.device import Predictor
from keras_capsules.layers import CapsuleLayer, CapsuleLength, PrimaryCapsule2D

NAMES = ["<b>cat</b>", "dog", "a very long name of a rare kind of bird", "emu"]

DROP = """async ([files]) => {
  const data = new DataTransfer();
  for (const [name, type, content] of files) {
    const bytes = Uint8Array.from(atob(content), (c) => c.charCodeAt(0));
    data.items.add(new File([bytes], name, { type }));
  }
  for (const kind of ["dragover", "drop"]) {
    document.body.dispatchEvent(
      new DragEvent(kind, { dataTransfer: data, bubbles: true, cancelable: true }));
  }
}"""


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """Returns a folder of files and pictures."""
    folder = tmp_path_factory.mktemp("own")
    keras.utils.set_random_seed(0)
    model = keras_capsules.create_model("efficient_capsnet", "mnist", with_decoder=True)
    outputs = ["scores", "map", "reconstruction"]
    labels = [f"digit {digit}" for digit in range(10)]
    export.export_onnx(model, folder / "digits.onnx", outputs=outputs, labels=labels)

    x = inputs = keras.Input((20, 28, 3))
    x = keras.layers.Conv2D(8, 5, strides=2, activation="relu")(x)
    x = CapsuleLayer(4, 8)(PrimaryCapsule2D(4, 4, 3)(x))
    birds = keras.Model(inputs, CapsuleLength(name="scores")(x))
    export.export_onnx(
        birds,
        folder / "birds.onnx",
        outputs=["scores", "map"],
        labels=NAMES,
        input_range=(-1, 1),
    )

    x = inputs = keras.Input((None, None, 3))
    x = keras.layers.GlobalAveragePooling2D()(keras.layers.Conv2D(4, 3, activation="relu")(x))
    planes = keras.Model(inputs, keras.layers.Dense(3, activation="sigmoid")(x))
    export.export_onnx(
        planes,
        folder / "planes.onnx",
        preprocess=True,
        layout="channels_first",
        labels=NAMES[:3],
        task="labels",
    )

    pairs = onnx.load(folder / "birds.onnx")
    pairs.graph.input[0].type.tensor_type.shape.dim[0].dim_value = 2  # The size of a batch.
    onnx.save(pairs, folder / "pairs.onnx")

    digit = np.uint8(255 * image_of(DIGITS["samples"][1])[0, ..., 0])
    Image.fromarray(digit).resize((140, 140)).save(folder / "digit.png")
    generator = np.random.default_rng(0)
    coarse = Image.fromarray(generator.integers(0, 256, (5, 7, 3), "uint8"))
    coarse.resize((210, 100), Image.Resampling.BICUBIC).save(folder / "colours.png")
    clear = coarse.resize((90, 70)).convert("RGBA")
    clear.putalpha(Image.linear_gradient("L").resize((90, 70)))
    clear.save(folder / "transparent.png")
    return folder


@pytest.fixture(scope="module")
def opened(visit):
    return visit("own.html")


@pytest.fixture
def page(opened):
    opened.reload()
    return opened


def drop(page, *paths):
    kinds = {".png": "image/png"}
    files = [
        (path.name, kinds.get(path.suffix, ""), base64.b64encode(path.read_bytes()).decode())
        for path in paths
    ]
    page.evaluate(DROP, [files])


def answers(folder, name, picture):
    """Returns what the file answers through `export.device`, and the outputs by name."""
    predictor = Predictor(folder / name, threads=1)
    pixels = predictor.read_image(folder / picture)
    low, high = predictor.input_range
    scaled = pixels[None] if name == "planes.onnx" else low + pixels[None] * (high - low) / 255
    return predictor.predict(pixels[None])[0], predictor(scaled)


def shown_scores(page):
    names = page.locator("#classes .name").all_text_contents()
    values = page.locator("#classes .value").all_text_contents()
    return dict(zip(names, np.float64(values), strict=True))


def test_a_file_and_a_picture_are_dropped(page, folder):
    """Shows classes, map and reconstruction as `export.device` computes them."""
    drop(page, folder / "digits.onnx", folder / "digit.png")
    prediction, outputs = answers(folder, "digits.onnx", "digit.png")
    expect(page.locator("#answer")).to_contain_text(
        f"Most like {prediction.label}", timeout=LOADING
    )
    expected = dict(zip(map("digit {}".format, range(10)), prediction.scores, strict=True))
    scores = shown_scores(page)
    assert list(scores.values()) == sorted(scores.values(), reverse=True)
    assert scores.keys() == expected.keys()
    for name, score in scores.items():
        assert score == pytest.approx(expected[name], abs=0.0051)
    redrawn = pixels_of(page, "#redrawn")[:, 0]
    np.testing.assert_allclose(redrawn, outputs["reconstruction"].ravel(), atol=2 / 255)
    facts = page.locator("#facts").text_content()
    for fact in ("28 × 28 pixels, grey", "0 to 1", "map, reconstruction, scores"):
        assert fact in facts


@pytest.mark.parametrize(
    "name, picture",
    [
        ("birds.onnx", "colours.png"),
        ("birds.onnx", "transparent.png"),
        ("pairs.onnx", "colours.png"),
    ],
)
def test_names_sizes_and_ranges_are_those_of_the_file(page, folder, name, picture):
    """Chooses a file with names like HTML, three channels and inputs from -1 to 1."""
    page.locator("#file").set_input_files(folder / name)
    expect(page.locator("#answer")).to_have_text(
        "Choose a picture for the network.", timeout=LOADING
    )
    page.locator("#picture").set_input_files(folder / picture)
    prediction, outputs = answers(folder, "birds.onnx", picture)
    expect(page.locator("#answer")).to_contain_text(f"Most like {prediction.label}, ")
    scores = shown_scores(page)
    for name, score in zip(NAMES, prediction.scores, strict=True):
        assert scores[name] == pytest.approx(score, abs=0.0051)
    expect(page.locator("#map-caption")).to_be_visible()
    shares = outputs["map"].ravel() / np.abs(outputs["map"]).max()
    pixels = Predictor(folder / "birds.onnx").read_image(folder / picture).reshape(-1, 3) / 255
    for sign, colour in ((1, (232, 89, 12)), (-1, (47, 111, 214))):
        share = 0.75 * np.maximum(sign * shares, 0)[:, None]
        pixels = (1 - share) * pixels + share * np.divide(colour, 255)
    np.testing.assert_allclose(pixels_of(page, "#evidence")[:, :3], pixels, atol=0.03)
    expect(page.locator("#redrawn-caption")).to_contain_text("no reconstruction")


def test_an_open_size_channels_first_and_labels(page, folder):
    """Gives the network the picture at its size, as uint8."""
    drop(page, folder / "colours.png", folder / "planes.onnx")
    prediction, _ = answers(folder, "planes.onnx", "colours.png")
    present = prediction.label
    said = "None of the labels is present." if present == "none" else f"Present: {present}."
    expect(page.locator("#answer")).to_have_text(said, timeout=LOADING)
    for name, score in zip(NAMES, prediction.scores, strict=False):
        assert shown_scores(page)[name] == pytest.approx(score, abs=0.0051)
    expect(page.locator("#no-map")).to_contain_text("no map")
    width, height = page.locator("#evidence").evaluate("c => [c.width, c.height]")
    assert (width, height) == (210, 100)


@pytest.mark.parametrize(
    "task, scores, words",
    [
        ({"kind": "classes"}, [0.2, 0.8], "Most like ant, with a score of 0.80."),
        ({"kind": "labels", "threshold": 0.1}, [0.2, 0.8], "Present: bee, ant."),
        ({"kind": "labels", "threshold": 0.9}, [0.2, 0.8], "None of the labels is present."),
        ({"kind": "binary", "threshold": 0.7}, [0.8], "Most like ant, with a score of 0.80."),
        ({"kind": "binary", "threshold": 0.9}, [0.8], "Most like bee, with a score of 0.80."),
        ({"kind": "regression"}, [-1.5, 20], "The answer is -1.50, 20.00."),
    ],
)
def test_the_task_decides_the_words(page, task, scores, words):
    answer = """async ([scores, file]) => (await import("./scores.js")).answer(scores, file)"""
    assert page.evaluate(answer, [scores, {"labels": ["bee", "ant"], "task": task}]) == words


@pytest.mark.parametrize("size", [(20, 28), (300, 9), (210, 100)])
@pytest.mark.parametrize("mode, channels", [("L", 1), ("RGB", 3)])
def test_pictures_are_read_as_pillow_reads_them(page, folder, size, mode, channels):
    content = base64.b64encode((folder / "colours.png").read_bytes()).decode()
    found = page.evaluate(
        """async ([content, [width, height], channels]) => {
          const { grey, readPicture, resize } = await import("./picture.js");
          const bytes = Uint8Array.from(atob(content), (c) => c.charCodeAt(0));
          const picture = await readPicture(new File([bytes], "x.png", { type: "image/png" }));
          return Array.from(resize(channels === 1 ? grey(picture) : picture, width, height).data);
        }""",
        [content, size, channels],
    )
    with Image.open(folder / "colours.png") as image:
        expected = np.asarray(image.convert(mode).resize(size, Image.Resampling.BILINEAR))
    np.testing.assert_allclose(found, expected.ravel().astype(int), atol=1)


def changed(folder, name, **properties):
    """Writes a file with other properties, or without those that are None."""
    model = onnx.load(folder / "birds.onnx")
    stored = {entry.key: entry.value for entry in model.metadata_props} | properties
    onnx.helper.set_model_props(model, {k: v for k, v in stored.items() if v is not None})
    onnx.save(model, folder / name)


def bad_files(folder):
    content = (folder / "birds.onnx").read_bytes()
    (folder / "cut.onnx").write_bytes(content[: len(content) // 2])
    (folder / "text.onnx").write_text("This is not a network.")
    (folder / "empty.onnx").write_bytes(b"")
    changed(folder, "others.onnx", verification=None, input_range=None)
    changed(folder, "range.onnx", input_range="[1, 0]")
    changed(folder, "names.onnx", class_names=json.dumps("names"))
    model = onnx.load(folder / "birds.onnx")
    model.graph.node[0].op_type = "Telepathy"
    onnx.save(model, folder / "operation.onnx")
    signal(folder / "signal.onnx", model)


def signal(path, model):
    """Writes a network for signals of three channels, with the properties of another one."""
    helper = onnx.helper
    values = [
        helper.make_tensor_value_info(name, onnx.TensorProto.FLOAT, ["batch", 12, 3])
        for name in ("signal", "scores")
    ]
    node = helper.make_node("Identity", ["signal"], ["scores"])
    graph = helper.make_graph([node], "signal", values[:1], values[1:])
    other = helper.make_model(graph, opset_imports=model.opset_import, ir_version=8)
    other.metadata_props.extend(model.metadata_props)
    onnx.save(other, path)


@pytest.mark.parametrize(
    "name, words",
    [
        ("cut.onnx", "cut.onnx cannot be read: it is not an ONNX file, or its end is missing."),
        ("text.onnx", "it is not an ONNX file"),
        ("empty.onnx", "it is not an ONNX file"),
        ("others.onnx", "keras-capsules did not export it"),
        ("range.onnx", "is damaged: its input range is [1, 0]"),
        ("names.onnx", "is damaged: what it says of itself cannot be read"),
        ("operation.onnx", "is damaged, or not for this browser"),
        ("signal.onnx", "does not take one picture of one or three channels"),
    ],
)
def test_a_file_that_does_not_go_is_told(page, folder, name, words):
    if not (folder / "signal.onnx").exists():
        bad_files(folder)
    drop(page, folder / name, folder / "colours.png")
    expect(page.locator("#answer")).to_contain_text(words, timeout=LOADING)
    expect(page.locator("#classes li")).to_have_count(0)
    drop(page, folder / "birds.onnx")  # The picture was taken all the same.
    expect(page.locator("#classes li")).to_have_count(4, timeout=LOADING)


def test_a_file_that_is_too_large_is_told(page):
    page.evaluate(
        """() => {
          const data = new DataTransfer();
          data.items.add(new File([new ArrayBuffer(201e6)], "large.onnx"));
          document.body.dispatchEvent(new DragEvent("drop", { dataTransfer: data, bubbles: true }));
        }"""
    )
    words = "large.onnx has 201 MB, more than the 200 MB here."
    expect(page.locator("#answer")).to_contain_text(words)


def test_a_damaged_picture_is_told(page, folder):
    (folder / "cut.png").write_bytes((folder / "colours.png").read_bytes()[:60])
    drop(page, folder / "birds.onnx", folder / "cut.png")
    expect(page.locator("#answer")).to_contain_text("cut.png is not a picture", timeout=LOADING)
    drop(page, folder / "colours.png")
    expect(page.locator("#classes li")).to_have_count(4)


def test_figure_of_an_own_file(page, folder):
    drop(page, folder / "digits.onnx", folder / "digit.png")
    expect(page.locator("#classes li")).to_have_count(10, timeout=LOADING)
    screenshot(page, "web_own_file.png")
