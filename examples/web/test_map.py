"""Tests that the map is that of the digit chosen, and that it shows both kinds of evidence."""

import numpy as np
import pytest
from playwright.sync_api import expect

from examples.web.visit import NETWORKS, choose_digits, image_of, pixels_of, run, settle

FOR, AGAINST, INK = (232, 89, 12), (47, 111, 214), (29, 31, 35)  # As page.css has them.


def map_of(description, image, digit):
    chosen = np.eye(10)[[digit]]
    return run(description["name"], image=image, chosen=chosen)["map"].ravel()


def check_map(page, image, expected):
    """Compares what is seen: pale ink, and over it what speaks for a digit and against it."""
    shares = expected[:, None] / np.abs(expected).max()
    ink = 0.35 * image.reshape(-1, 1)
    seen = np.concatenate([ink * np.divide(INK, 255), ink], axis=1)  # Colours times density.
    for sign, colour in ((1, FOR), (-1, AGAINST)):
        share = np.maximum(sign * shares, 0)
        seen = np.concatenate([share * np.divide(colour, 255), share], axis=1) + (1 - share) * seen
    shown = pixels_of(page, "#evidence")
    shown[:, :3] *= shown[:, 3:]
    np.testing.assert_allclose(shown, seen, atol=0.02)
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
