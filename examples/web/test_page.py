"""Tests the page in Chromium as a visitor uses it. `make test-web` builds the page and runs this.

With `SCREENSHOTS=1` it also draws the figures of the README.
"""

import functools
import json
import os
import shutil
import threading
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import numpy as np
import onnxruntime
import pytest
from playwright.sync_api import expect, sync_playwright

ROOT = Path(__file__).parents[2]
SITE = ROOT / "build/web"
NETWORKS = json.loads((SITE / "networks.json").read_text())
DIGITS = NETWORKS[0]
LOADING = 60_000  # Milliseconds, on a busy machine.

# Each digit as lines through points, in pixels of the page.
ONE = [[(150, 40), (150, 260)]]
FOUR = [[(120, 40), (80, 160), (210, 160)], [(180, 60), (180, 270)]]
SEVEN = [[(80, 50), (210, 50), (130, 270)]]


class _Quiet(SimpleHTTPRequestHandler):
    def log_message(self, *arguments):
        pass


@pytest.fixture(scope="module")
def serve():
    """Returns a function that serves a folder on this machine, and returns its address."""
    servers = []

    def start(folder):
        handler = functools.partial(_Quiet, directory=folder)
        servers.append(ThreadingHTTPServer(("127.0.0.1", 0), handler))
        threading.Thread(target=servers[-1].serve_forever, daemon=True).start()
        return f"http://127.0.0.1:{servers[-1].server_port}/"

    yield start
    for server in servers:
        server.shutdown()
        server.server_close()


@pytest.fixture(scope="module")
def browser():
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=shutil.which("chromium"))
        yield browser
        browser.close()


@pytest.fixture(scope="module")
def loaded(browser, serve):
    """Opens the page with its first network, and checks at the end that it made no error."""
    address = serve(SITE)
    page = browser.new_page(viewport={"width": 1280, "height": 900})
    errors, requests = [], []
    page.on("console", lambda message: message.type == "error" and errors.append(message.text))
    page.on("pageerror", lambda error: errors.append(str(error)))
    page.on("request", lambda request: requests.append(request.url))
    page.goto(address)
    expect(page.locator("#main")).to_be_visible(timeout=LOADING)
    yield page
    page.close()
    assert not errors
    assert [url for url in requests if not url.startswith((address, "data:"))] == []


@pytest.fixture
def page(loaded):
    """Clears the drawing of the loaded page, and selects its first network."""
    if loaded.locator("#networks").is_visible():
        loaded.get_by_text("One digit").click()
    loaded.locator("#clear").click()
    expect(loaded.locator("#answer")).to_have_text("Nothing drawn yet.")
    return loaded


def named(digits):
    return " and ".join("an 8" if digit == 8 else f"a {digit}" for digit in digits)


def draw(page, strokes):
    corner = page.locator("#pad").bounding_box()
    for stroke in strokes:
        points = [(corner["x"] + x, corner["y"] + y) for x, y in stroke]
        page.mouse.move(*points[0])
        page.mouse.down()
        for point in points[1:]:
            page.mouse.move(*point, steps=12)
        page.mouse.up()


def density(page, canvas):
    """Returns the density of the colour of each pixel, in [0, 1]."""
    data = page.locator(canvas).evaluate(
        "c => Array.from(c.getContext('2d').getImageData(0, 0, c.width, c.height).data)"
    )
    return np.array(data).reshape(-1, 4)[:, 3] / 255


def run(name, **inputs):
    """Runs a file of the page with onnxruntime in Python."""
    session = onnxruntime.InferenceSession(SITE / f"{name}.onnx")
    outputs = session.run(None, {name: np.float32(x) for name, x in inputs.items()})
    return dict(zip([output.name for output in session.get_outputs()], outputs, strict=True))


@pytest.mark.parametrize("description", NETWORKS, ids=lambda description: description["name"])
def test_samples_are_read(page, description):
    """Draws by mouse and by keyboard, and both digits if there are two."""
    if description is not DIGITS:
        page.get_by_text("Two digits").click()
    for index, sample in enumerate(description["samples"]):
        button = page.locator("#samples button").nth(index)
        button.click() if index % 2 else button.press("Enter")
        expect(page.locator("#answer")).to_contain_text(named(sample["digits"]), timeout=LOADING)
        expect(page.locator("#bars .winner")).to_have_count(description["digits"])
        expect(button).to_have_attribute("aria-pressed", "true")
        scores = page.locator("#bars [role=meter]").evaluate_all("m => m.map(x => x.ariaValueNow)")
        side = description["size"]
        image = np.reshape(sample["pixels"], (1, side, side, 1)) / 255
        expected = run(description["name"], image=image)["scores"][0]
        np.testing.assert_allclose(np.float64(scores), expected, atol=0.0051)


def test_a_choice_of_networks_is_offered_where_there_are_several(page):
    expect(page.locator("#networks label")).to_have_count(len(NETWORKS))
    assert page.locator("#networks").is_visible() == (len(NETWORKS) > 1)


def test_scores_are_those_of_onnxruntime_in_python_and_fast(page):
    images = np.array([sample["pixels"] for sample in DIGITS["samples"]]) / 255
    scores, times = page.evaluate(
        """async ([description, images]) => {
          const { Network } = await import("./network.js");
          const network = await Network.load(description);
          const scores = [];
          for (const image of images) {
            scores.push(Array.from((await network.read(Float32Array.from(image))).scores.data));
          }
          const times = [];
          for (let run = 0; run < 50; run++) {
            const start = performance.now();
            await network.read(Float32Array.from(images[0]));
            times.push(performance.now() - start);
          }
          return [scores, times];
        }""",
        [DIGITS, images.tolist()],
    )
    expected = run("digits", image=images.reshape(-1, 28, 28, 1))["scores"]
    np.testing.assert_allclose(scores, expected, atol=1e-4)
    difference = np.abs(scores - expected).max()
    print(
        f"\nbrowser and Python differ by {difference:.1e}; one reading takes "
        f"{np.median(times):.1f} ms in the median of 50, {min(times):.1f} ms at best"
    )
    assert min(times) < 30  # The minimum, because other work may slow the others down.


def test_sliders_redraw_the_digit(page):
    page.locator("#samples button").first.click()
    sample = DIGITS["samples"][0]
    (digit,) = sample["digits"]
    expect(page.locator("#pose-of")).to_have_text(f"The pose of the {digit}")
    found = run("digits", image=np.reshape(sample["pixels"], (1, 28, 28, 1)) / 255)["poses"]
    poses = np.zeros_like(found)
    for offset in (0.0, 0.3, 0.0):
        if offset:
            page.get_by_label("Number 5 of the pose").fill(str(offset))
        else:
            page.locator("#reset").click()
        expect(page.locator("#sliders output").nth(4)).to_have_text(f"+{offset:.2f}")
        page.wait_for_timeout(500)
        poses[0, digit] = found[0, digit]
        poses[0, digit, 4] += offset
        expected = run("digits_decoder", poses=poses)["reconstruction"].ravel()
        np.testing.assert_allclose(density(page, "#redrawn"), expected, atol=0.6 / 255)


@pytest.mark.parametrize("digit, strokes", [(1, ONE), (4, FOUR), (7, SEVEN)])
def test_strokes_are_read(page, digit, strokes):
    expect(page.locator("#hint")).to_be_visible()
    expect(page.locator("#sliders input").first).to_be_disabled()
    draw(page, strokes)
    expect(page.locator("#answer")).to_have_text(f"It sees a {digit}.")
    expect(page.locator("#hint")).to_be_hidden()


@pytest.mark.skipif(len(NETWORKS) < 2, reason="no network for two digits is shipped")
def test_overlapping_digits_are_read(page):
    page.get_by_text("Two digits").click()
    expect(page.locator("#size")).to_have_text("36 × 36", timeout=LOADING)
    turns = 2 * np.pi * np.arange(17) / 16
    ring = [(125 + 75 * np.sin(turn), 150 - 110 * np.cos(turn)) for turn in turns]
    draw(page, [ring, [(x + 30, y) for x, y in SEVEN[0]]])
    expect(page.locator("#answer")).to_have_text("It sees a 0 and a 7.")
    expect(page.locator("#winners label")).to_have_text(["0", "7"])
    if os.environ.get("SCREENSHOTS"):
        page.screenshot(path=ROOT / "docs/figures/web_two_digits.png", full_page=True)


def test_clearing_ends_a_stroke(page):
    draw(page, ONE)
    page.mouse.down()
    page.locator("#clear").press("Enter")
    page.mouse.move(200, 400)
    page.mouse.up()
    expect(page.locator("#answer")).to_have_text("Nothing drawn yet.")


def test_a_finger_draws(page):
    box = page.locator("#pad").bounding_box()
    devtools = page.context.new_cdp_session(page)
    for y in range(40, 261, 20):
        kind = "touchMove" if y > 40 else "touchStart"
        points = [{"x": box["x"] + 150, "y": box["y"] + y}]
        devtools.send("Input.dispatchTouchEvent", {"type": kind, "touchPoints": points})
    devtools.send("Input.dispatchTouchEvent", {"type": "touchEnd", "touchPoints": []})
    expect(page.locator("#answer")).to_have_text("It sees a 1.")


def test_strokes_are_prepared_as_mnist_prepares_digits(page):
    """Scales strokes of any size to 20 pixels, with the centre of mass in the middle."""
    prepared = [
        page.evaluate(
            """async (strokes) => {
              const { toPixels } = await import("./pad.js");
              return Array.from(toPixels(strokes.map((s) => s.map(([x, y]) => ({ x, y }))), 28));
            }""",
            [[[left + scale * x / 300, top + scale * y / 300] for x, y in s] for s in SEVEN],
        )
        for scale, left, top in ((1, 0, 0), (0.4, 0.5, 0.1))
    ]
    np.testing.assert_allclose(*prepared, atol=2 / 255)
    image = np.reshape(prepared[0], (28, 28))
    assert image.min() == 0 and image.max() == 1
    rows, columns = np.nonzero(image > 0.5)
    assert np.ptp(rows) + 1 in (19, 20, 21) and np.ptp(columns) + 1 < 20
    centre = np.array([image.sum(axis=1), image.sum(axis=0)]) @ (np.arange(28) + 0.5) / image.sum()
    np.testing.assert_allclose(centre, 14, atol=0.05)


@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize("width, height", [(400, 860), (820, 1100), (1280, 900)])
def test_nothing_is_wider_than_the_screen(page, width, height, scheme):
    page.emulate_media(color_scheme=scheme)
    page.set_viewport_size({"width": width, "height": height})
    page.locator("#samples button").nth(1).click()
    assert page.evaluate("document.documentElement.scrollWidth") <= width
    if os.environ.get("SCREENSHOTS") and (width, scheme) in ((1280, "light"), (400, "dark")):
        page.get_by_label("Number 5 of the pose").fill("0.2")
        page.wait_for_timeout(1000)
        name = "web.png" if width == 1280 else "web_phone.png"
        page.screenshot(path=ROOT / "docs/figures" / name, full_page=True)
        assert (ROOT / "docs/figures" / name).stat().st_size < 200_000


@pytest.mark.parametrize("missing", ["digits.onnx", "ort.wasm.bundle.min.mjs", "networks.json"])
def test_a_missing_file_is_told(browser, serve, tmp_path, missing):
    site = tmp_path / "site"
    shutil.copytree(SITE, site, copy_function=os.link, ignore=shutil.ignore_patterns(missing))
    page = browser.new_page()
    page.goto(serve(site))
    expect(page.locator("#state")).to_contain_text("could not be loaded")
    expect(page.locator("#retry")).to_be_visible()
    expect(page.locator("#main")).to_be_hidden()
    if missing == "digits.onnx":
        os.link(SITE / missing, site / missing)
        page.locator("#retry").click()
        expect(page.locator("#main")).to_be_visible(timeout=LOADING)
    page.close()


def test_a_browser_without_webassembly_is_told(browser, serve):
    page = browser.new_page()
    page.add_init_script("delete globalThis.WebAssembly")
    page.goto(serve(SITE))
    expect(page.locator("#state")).to_contain_text("no WebAssembly")
    expect(page.locator("#main")).to_be_hidden()
    page.close()
