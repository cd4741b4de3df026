"""What a visitor does on the page, and what the networks answer outside of it."""

import json
import os
from pathlib import Path

import numpy as np
import onnxruntime
from playwright.sync_api import expect

ROOT = Path(__file__).parents[2]
SITE = ROOT / "build/web"
FIGURES = ROOT / "docs/figures"
NETWORKS = json.loads((SITE / "networks.json").read_text())
DIGITS = NETWORKS[0]
LOADING = 60_000  # Milliseconds, on a busy machine.
SIZES = [(375, 667), (768, 1024), (1280, 900)]

# Each digit as lines through points, in pixels of the page.
ONE = [[(150, 40), (150, 260)]]
FOUR = [[(120, 40), (80, 160), (210, 160)], [(180, 60), (180, 270)]]
SEVEN = [[(80, 50), (210, 50), (130, 270)]]


def named(digits):
    return " and ".join("an 8" if digit == 8 else f"a {digit}" for digit in digits)


def draw(page, strokes, steps=12):
    corner = page.locator("#pad").bounding_box()
    for stroke in strokes:
        points = [(corner["x"] + x, corner["y"] + y) for x, y in stroke]
        page.mouse.move(*points[0])
        page.mouse.down()
        for point in points[1:]:
            page.mouse.move(*point, steps=steps)
        page.mouse.up()


def choose_digits(page, count):
    """Selects the network for one or two digits."""
    page.get_by_text("Two digits" if count > 1 else "One digit").click()
    size = next(network["size"] for network in NETWORKS if network["digits"] == count)
    expect(page.locator("#size")).to_have_text(f"{size} × {size}", timeout=LOADING)


def settle(page):
    """Waits until the sliders have their pictures, which come last."""
    page.wait_for_timeout(700)


def pixels_of(page, canvas):
    """Returns red, green, blue and density of each pixel, in [0, 1]."""
    data = page.locator(canvas).evaluate(
        "c => Array.from(c.getContext('2d').getImageData(0, 0, c.width, c.height).data)"
    )
    return np.array(data).reshape(-1, 4) / 255


def density(page, canvas):
    return pixels_of(page, canvas)[:, 3]


def image_of(sample, description=DIGITS):
    size = description["size"]
    return np.float32(np.reshape(sample["pixels"], (1, size, size, 1)) / 255)


def run(name, **inputs):
    """Runs a file of the page with onnxruntime in Python."""
    session = onnxruntime.InferenceSession(SITE / f"{name}.onnx")
    if "image" in inputs:
        inputs.setdefault("chosen", np.zeros((len(inputs["image"]), 10)))
    outputs = session.run(None, {name: np.float32(x) for name, x in inputs.items()})
    return dict(zip([output.name for output in session.get_outputs()], outputs, strict=True))


def screenshot(page, name):
    """Draws a figure of the README again, if SCREENSHOTS is set."""
    if os.environ.get("SCREENSHOTS"):
        page.screenshot(path=FIGURES / name, full_page=True)
        if (FIGURES / name).stat().st_size > 200_000:
            raise ValueError(f"{name} is too large for the README.")
