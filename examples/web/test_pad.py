"""Tests how the page prepares strokes, and how sure it sounds about them."""

import numpy as np
import pytest
from playwright.sync_api import expect

from benchmarks import non_digits
from examples.web.visit import NETWORKS, SEVEN, choose_digits, draw, named, run, screenshot, settle

TO_PIXELS = """async ([strokes, size]) => {
  const { toPixels } = await import("./pad.js");
  return Array.from(toPixels(strokes.map((s) => s.map(([x, y]) => ({ x, y }))), size));
}"""


def prepared(page, strokes, size=28):
    return page.evaluate(TO_PIXELS, [[np.asarray(stroke).tolist() for stroke in strokes], size])


def test_strokes_are_prepared_as_mnist_prepares_digits(page):
    """Scales strokes of any size to 20 pixels, with the centre of mass in the middle."""
    images = [
        prepared(page, [[(left + scale * x, top + scale * y) for x, y in s] for s in SEVEN])
        for scale, left, top in ((1 / 300, 0, 0), (0.4 / 300, 0.5, 0.1))
    ]
    np.testing.assert_allclose(*images, atol=2 / 255)
    image = np.reshape(images[0], (28, 28))
    assert image.min() == 0 and image.max() == 1
    rows, columns = np.nonzero(image > 0.5)
    assert np.ptp(rows) + 1 in (19, 20, 21) and np.ptp(columns) + 1 < 20
    centre = np.array([image.sum(axis=1), image.sum(axis=0)]) @ (np.arange(28) + 0.5) / image.sum()
    np.testing.assert_allclose(centre, 14, atol=0.05)


@pytest.mark.parametrize("size", [28, 36])
def test_the_levels_are_measured_on_drawings_as_the_pad_prepares_them(page, size):
    for shape in list(non_digits.SHAPES.values())[::4]:
        image = np.reshape(prepared(page, shape, size), (size, size))
        expected = non_digits.to_pixels(shape, size)
        assert np.abs(image - expected).mean() < 0.01


def sentence(image, description):
    """Says what the page should say, from onnxruntime in Python."""
    found = run(description["name"], image=image)
    digits = sorted(found["scores"][0].argsort()[::-1][: description["digits"]])
    poses = np.concatenate([found["poses"] * np.eye(10)[None, d, :, None] for d in digits])
    pictures = run(f"{description['name']}_decoder", poses=poses)["reconstruction"]
    redrawn = 1 - np.prod(1 - pictures, axis=0)
    error = np.square(image[0] - redrawn).sum() / np.square(image).sum()
    likeness = found["scores"][0, digits].min() * (1 - error)
    if likeness >= description["levels"]["sees"]:
        return f"It sees {named(digits)}."
    if likeness >= description["levels"]["maybe"]:
        return f"It may be {named(digits)}."
    what = "a digit" if len(digits) == 1 else "two digits"
    return f"It may not be {what}. Most like {named(digits)}."


@pytest.mark.parametrize("description", NETWORKS, ids=lambda description: description["name"])
def test_the_page_sounds_as_sure_as_it_may_be(page, description):
    choose_digits(page, description["digits"])
    heard, size = [], description["size"]
    for shape in [SEVEN, *map(scaled, ("A", "F", "T", "X", "hash"))]:
        page.locator("#clear").click()
        draw(page, shape, steps=3)
        said = page.locator("#answer")
        expect(said).not_to_have_text("Nothing drawn yet.")
        page.wait_for_timeout(400)
        shares = [np.divide(stroke, 300) for stroke in shape]
        image = np.reshape(prepared(page, shares, size), (1, size, size, 1))
        assert said.text_content() == sentence(image, description)
        heard.append(said.text_content().split()[:3])
    levels = {" ".join(words) for words in heard}
    assert levels == {"It sees a", "It may be", "It may not"}


def test_figure_of_an_unsure_answer(page):
    page.emulate_media(color_scheme="dark")
    page.set_viewport_size({"width": 768, "height": 1024})
    draw(page, scaled("A"), steps=3)
    expect(page.locator("#answer")).to_have_text("It may be a 4.")
    page.get_by_label("Capsule 9").click()
    settle(page)
    screenshot(page, "web_unsure.png")
    page.emulate_media(color_scheme="light")
    page.set_viewport_size({"width": 1280, "height": 900})


def scaled(name):
    return [[(40 + 200 * x, 50 + 200 * y) for x, y in stroke] for stroke in non_digits.SHAPES[name]]
