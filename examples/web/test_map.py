"""Tests that the map is that of the digit chosen, and that it shows both kinds of evidence."""

import numpy as np
import pytest
from playwright.sync_api import expect

from examples.web.visit import NETWORKS, choose_digits, image_of, pixels_of, run, settle

COLOURS = {"evidence": (232, 89, 12), "against": (47, 111, 214)}  # As page.css has them.


def map_of(description, image, digit):
    chosen = np.eye(10)[[digit]]
    return run(description["name"], image=image, chosen=chosen)["map"].ravel()


def check_map(page, image, expected):
    """Compares what is seen where no ink covers it: density and colour."""
    paper = image.ravel() == 0
    shares = expected[paper] / np.abs(expected).max()
    shown = pixels_of(page, "#evidence")[paper]
    np.testing.assert_allclose(shown[:, 3], np.abs(shares), atol=1.5 / 255)
    for name, sign in (("evidence", 1), ("against", -1)):
        dense = sign * shares > 0.3  # Browsers store thin colours less exactly.
        np.testing.assert_allclose(
            shown[dense, :3], np.tile(np.divide(COLOURS[name], 255), (dense.sum(), 1)), atol=0.02
        )
    return (shares > 0.3).sum(), (shares < -0.3).sum()


@pytest.mark.parametrize("description", NETWORKS, ids=lambda description: description["name"])
def test_the_map_follows_the_digit_chosen(page, description):
    choose_digits(page, description["digits"])
    sample = description["samples"][5]
    image = image_of(sample, description)
    page.locator("#samples button").nth(5).click()
    settle(page)
    scores = run(description["name"], image=image)["scores"][0]
    longest = scores.argmax()
    expect(page.locator("#map-of")).to_have_text(str(longest))
    check_map(page, image, map_of(description, image, longest))
    counts = []
    for digit in {*sample["digits"], 4, 8}:
        bar = page.get_by_label(f"Capsule {digit}")
        bar.click()
        settle(page)
        expect(bar).to_have_attribute("aria-pressed", "true")
        expect(page.locator("#map-of")).to_have_text(str(digit))
        expect(page.locator("#pose-of")).to_have_text(f"The pose of the {digit}")
        counts.append(check_map(page, image, map_of(description, image, digit)))
    speaking, against = np.array(counts).T
    assert speaking.max() > 10 and against.max() > 10


def test_the_choice_beside_the_sliders_is_the_same(page):
    choose_digits(page, 2)
    description = NETWORKS[1]
    page.locator("#samples button").first.click()
    settle(page)
    image = image_of(description["samples"][0], description)
    for digit in description["samples"][0]["digits"]:
        page.locator("#winners label", has_text=str(digit)).click()
        settle(page)
        expect(page.get_by_label(f"Capsule {digit}")).to_have_attribute("aria-pressed", "true")
        check_map(page, image, map_of(description, image, digit))


def test_the_network_of_the_page_gives_the_coupling_map():
    keras_capsules = pytest.importorskip("keras_capsules")
    for description, weights in zip(NETWORKS, ("mnist", "multi_mnist"), strict=True):
        model = keras_capsules.create_model("efficient_capsnet", weights)
        image = image_of(description["samples"][0], description)
        for digit in (3, 8):
            expected = keras_capsules.explain.coupling_map(model, image, class_index=digit)
            found = map_of(description, image, digit)
            np.testing.assert_allclose(found, expected.ravel(), atol=1e-4)
