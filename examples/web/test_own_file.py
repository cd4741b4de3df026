"""Tests the page of a user's own file: what it shows is what `export.device` computes."""

import base64

import numpy as np
import pytest
from PIL import Image
from playwright.sync_api import expect

from examples.web.own_files import NAMES, drop
from examples.web.visit import LOADING, pixels_of, screenshot
from export.device import Predictor


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


def test_a_file_and_a_picture_are_dropped(own_page, folder):
    """Shows classes, map and reconstruction as `export.device` computes them."""
    drop(own_page, folder / "digits.onnx", folder / "digit.png")
    prediction, outputs = answers(folder, "digits.onnx", "digit.png")
    expect(own_page.locator("#answer")).to_contain_text(
        f"Most like {prediction.label}", timeout=LOADING
    )
    expected = dict(zip(map("digit {}".format, range(10)), prediction.scores, strict=True))
    scores = shown_scores(own_page)
    assert list(scores.values()) == sorted(scores.values(), reverse=True)
    assert scores.keys() == expected.keys()
    for name, score in scores.items():
        assert score == pytest.approx(expected[name], abs=0.0051)
    redrawn = pixels_of(own_page, "#redrawn")[:, 0]
    np.testing.assert_allclose(redrawn, outputs["reconstruction"].ravel(), atol=2 / 255)
    facts = own_page.locator("#facts").text_content()
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
def test_names_sizes_and_ranges_are_those_of_the_file(own_page, folder, name, picture):
    """Chooses a file with names like HTML, three channels and inputs from -1 to 1."""
    own_page.locator("#file").set_input_files(folder / name)
    expect(own_page.locator("#answer")).to_have_text(
        "Choose a picture for the network.", timeout=LOADING
    )
    own_page.locator("#picture").set_input_files(folder / picture)
    prediction, outputs = answers(folder, "birds.onnx", picture)
    expect(own_page.locator("#answer")).to_contain_text(f"Most like {prediction.label}, ")
    scores = shown_scores(own_page)
    for name, score in zip(NAMES, prediction.scores, strict=True):
        assert scores[name] == pytest.approx(score, abs=0.0051)
    expect(own_page.locator("#map-caption")).to_be_visible()
    shares = outputs["map"].ravel() / np.abs(outputs["map"]).max()
    pixels = Predictor(folder / "birds.onnx").read_image(folder / picture).reshape(-1, 3) / 255
    for sign, colour in ((1, (232, 89, 12)), (-1, (47, 111, 214))):
        share = 0.75 * np.maximum(sign * shares, 0)[:, None]
        pixels = (1 - share) * pixels + share * np.divide(colour, 255)
    np.testing.assert_allclose(pixels_of(own_page, "#evidence")[:, :3], pixels, atol=0.03)
    expect(own_page.locator("#redrawn-caption")).to_contain_text("no reconstruction")


def test_an_open_size_channels_first_and_labels(own_page, folder):
    """Gives the network the picture at its size, as uint8."""
    drop(own_page, folder / "colours.png", folder / "planes.onnx")
    prediction, _ = answers(folder, "planes.onnx", "colours.png")
    present = prediction.label
    said = "None of the labels is present." if present == "none" else f"Present: {present}."
    expect(own_page.locator("#answer")).to_have_text(said, timeout=LOADING)
    for name, score in zip(NAMES, prediction.scores, strict=False):
        assert shown_scores(own_page)[name] == pytest.approx(score, abs=0.0051)
    expect(own_page.locator("#no-map")).to_contain_text("no map")
    width, height = own_page.locator("#evidence").evaluate("c => [c.width, c.height]")
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
def test_the_task_decides_the_words(own_page, task, scores, words):
    answer = """async ([scores, file]) =>
      (await import("./scores.js")).answer(Float32Array.from(scores), file)"""
    file = {"labels": ["bee", "ant"], "task": task["kind"], "threshold": task.get("threshold", 0.5)}
    assert own_page.evaluate(answer, [scores, file]) == words


@pytest.mark.parametrize("size", [(20, 28), (300, 9), (210, 100)])
@pytest.mark.parametrize("mode, channels", [("L", 1), ("RGB", 3)])
def test_pictures_are_read_as_pillow_reads_them(own_page, folder, size, mode, channels):
    content = base64.b64encode((folder / "colours.png").read_bytes()).decode()
    found = own_page.evaluate(
        """async ([content, [width, height], channels]) => {
          const { readPicture } = await import("./picture.js");
          const { grey, resize } = await import("./device/picture.js");
          const bytes = Uint8Array.from(atob(content), (c) => c.charCodeAt(0));
          const picture = await readPicture(new File([bytes], "x.png", { type: "image/png" }));
          return Array.from(resize(channels === 1 ? grey(picture) : picture, width, height).data);
        }""",
        [content, size, channels],
    )
    with Image.open(folder / "colours.png") as image:
        expected = np.asarray(image.convert(mode).resize(size, Image.Resampling.BILINEAR))
    np.testing.assert_allclose(found, expected.ravel().astype(int), atol=1)


def test_figure_of_an_own_file(own_page, folder):
    drop(own_page, folder / "digits.onnx", folder / "digit.png")
    expect(own_page.locator("#classes li")).to_have_count(10, timeout=LOADING)
    screenshot(own_page, "web_own_file.png")
