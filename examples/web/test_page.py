"""Tests the page in Chromium as a visitor uses it. `make test-web` builds the page and runs this.

With `SCREENSHOTS=1` the tests also draw the figures of the README.
"""

import numpy as np
import pytest
from playwright.sync_api import expect

from examples.web.visit import (
    DIGITS,
    FOUR,
    LOADING,
    NETWORKS,
    ONE,
    SEVEN,
    choose_digits,
    density,
    draw,
    image_of,
    named,
    run,
    screenshot,
    settle,
)


@pytest.mark.parametrize("description", NETWORKS, ids=lambda description: description["name"])
def test_samples_are_read(page, description):
    """Draws by mouse and by keyboard, and both digits if there are two."""
    choose_digits(page, description["digits"])
    for index, sample in enumerate(description["samples"]):
        button = page.locator("#samples button").nth(index)
        button.click() if index % 2 else button.press("Enter")
        expect(page.locator("#answer")).to_contain_text(named(sample["digits"]), timeout=LOADING)
        expect(page.locator("#bars .winner")).to_have_count(description["digits"])
        expect(button).to_have_attribute("aria-pressed", "true")
        scores = page.locator("#bars .value").all_text_contents()
        expected = run(description["name"], image=image_of(sample, description))["scores"][0]
        np.testing.assert_allclose(np.float64(scores), expected, atol=0.0051)


def test_scores_are_those_of_onnxruntime_in_python_and_fast(page):
    images = np.array([sample["pixels"] for sample in DIGITS["samples"]]) / 255
    scores, times = page.evaluate(
        """async ([description, images]) => {
          const { Network } = await import("./network.js");
          const network = await Network.load(description, () => {});
          const scores = [];
          for (const image of images) {
            scores.push(Array.from((await network.read(Float32Array.from(image))).scores));
          }
          const times = [];
          for (let run = 0; run < 50; run++) {
            const start = performance.now();
            await network.run(Float32Array.from(images[0]), 0);
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


def test_sliders_redraw_the_digit_beside_the_one_found(page):
    page.locator("#samples button").first.click()
    sample = DIGITS["samples"][0]
    (digit,) = sample["digits"]
    expect(page.locator("#pose-of")).to_have_text(f"The pose of the {digit}")
    settle(page)
    found = run("digits", image=image_of(sample))["poses"]
    slider = page.locator("#sliders input").first
    number = int(slider.get_attribute("aria-label").split()[1])
    for offset in (0.0, 0.3, 0.0):
        slider.fill(str(offset)) if offset else page.locator("#reset").click(force=True)
        expect(page.locator("#sliders output").first).to_have_text(f"+{offset:.2f}")
        page.wait_for_timeout(500)
        poses = found * np.eye(10)[None, digit, :, None]
        before = run("digits_decoder", poses=poses)["reconstruction"].ravel()
        poses[0, digit, number - 1] += offset
        after = run("digits_decoder", poses=poses)["reconstruction"].ravel()
        np.testing.assert_allclose(density(page, "#before"), before, atol=0.6 / 255)
        np.testing.assert_allclose(density(page, "#after"), after, atol=0.6 / 255)


@pytest.mark.parametrize("index", range(3))
def test_the_numbers_that_change_the_digit_most_come_first(page, index):
    page.locator("#samples button").nth(index).click()
    settle(page)
    sample = DIGITS["samples"][index]
    (digit,) = sample["digits"]
    poses = run("digits", image=image_of(sample))["poses"] * np.eye(10)[None, digit, :, None]
    ends = np.repeat(poses, 32, axis=0)
    ends[range(32), digit, [*range(16), *range(16)]] += np.repeat([-0.5, 0.5], 16)
    low, high = run("digits_decoder", poses=ends)["reconstruction"].reshape(2, 16, -1)
    most = 1 + np.square(high - low).sum(axis=1).argsort()[-4:]
    numbers = page.locator("#sliders label > span").all_text_contents()
    assert numbers == [str(number) for number in sorted(most)]
    expect(page.locator("#more label")).to_have_count(12)
    expect(page.locator("#more label").first).to_be_hidden()
    first = "#sliders label >> nth=0 >> canvas >> nth={}"
    for end, pictures in enumerate((low, high)):
        shown = density(page, first.format(end))
        np.testing.assert_allclose(shown, pictures[sorted(most)[0] - 1], atol=0.6 / 255)


@pytest.mark.parametrize("digit, strokes", [(1, ONE), (4, FOUR), (7, SEVEN)])
def test_strokes_are_read(page, digit, strokes):
    expect(page.locator("#hint")).to_be_visible()
    expect(page.locator("#sliders input").first).to_be_disabled()
    draw(page, strokes)
    expect(page.locator("#answer")).to_have_text(f"It sees a {digit}.")
    expect(page.locator("#hint")).to_be_hidden()


def test_overlapping_digits_are_read(page):
    choose_digits(page, 2)
    turns = 2 * np.pi * np.arange(17) / 16
    ring = [(125 + 75 * np.sin(turn), 150 - 110 * np.cos(turn)) for turn in turns]
    draw(page, [ring, [(x + 30, y) for x, y in SEVEN[0]]])
    expect(page.locator("#answer")).to_have_text("It sees a 0 and a 7.")
    expect(page.locator("#winners label")).to_have_text(["0", "7"])
    page.get_by_label("Capsule 7").click()
    settle(page)
    screenshot(page, "web_two_digits.png")


def test_what_is_drawn_stays_for_the_other_network(page):
    draw(page, FOUR)
    expect(page.locator("#answer")).to_have_text("It sees a 4.")
    choose_digits(page, 2)
    expect(page.locator("#answer")).to_contain_text("a 4")
    expect(page.locator("#bars .winner")).to_have_count(2)
    expect(page.locator("#samples [aria-pressed=true]")).to_have_count(0)


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
