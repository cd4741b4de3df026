"""Tests both pages on a phone, a tablet and a desk, light and dark."""

import pytest
from playwright.sync_api import expect

from examples.web.visit import LOADING, SIZES, screenshot, settle

FIGURES = {"web.png": (1280, "light"), "web_phone.png": (375, "dark")}


@pytest.fixture(scope="module")
def pages(visit):
    pages = {name: visit(f"{name}.html") for name in ("index", "own")}
    expect(pages["index"].locator("#samples button")).to_have_count(8, timeout=LOADING)
    return pages


@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize("width, height", SIZES)
@pytest.mark.parametrize("name", ["index", "own"])
def test_nothing_is_wider_than_its_place(pages, name, width, height, scheme):
    page = pages[name]
    page.emulate_media(color_scheme=scheme)
    page.set_viewport_size({"width": width, "height": height})
    assert page.evaluate("document.documentElement.scrollWidth") <= width
    wide = page.locator("section, section *").evaluate_all(
        """nodes => nodes.filter((node) => node.scrollWidth > node.clientWidth + 1 &&
          getComputedStyle(node).display !== "inline" && !node.closest(".unseen, pre, .choose"))
          .map((node) => node.outerHTML.slice(0, 80))"""
    )
    assert not wide
    colours = page.evaluate(
        "[getComputedStyle(document.body).backgroundColor, getComputedStyle(document.body).color]"
    )
    light, dark = "rgb(245, 245, 243)", "rgb(29, 31, 35)"
    assert colours == (
        [light, dark] if scheme == "light" else ["rgb(18, 20, 23)", "rgb(236, 238, 240)"]
    )


@pytest.mark.parametrize("digits", [1, 2])
def test_on_a_phone_the_answer_is_under_the_pad(pages, digits):
    page = pages["index"]
    page.set_viewport_size({"width": 375, "height": 667})
    page.get_by_text("Two digits" if digits > 1 else "One digit").click()
    expect(page.locator("#bars .winner")).to_have_count(digits, timeout=LOADING)
    page.evaluate("scrollTo(0, 0)")
    pad, answer, bars = (
        page.locator(place).bounding_box() for place in ("#pad", "#answer", "#bars")
    )
    assert pad["y"] + pad["height"] <= answer["y"]
    assert bars["y"] + bars["height"] <= 667
    assert pad["width"] >= 240


@pytest.mark.parametrize("name", FIGURES)
def test_figures(pages, name):
    page, (width, scheme) = pages["index"], FIGURES[name]
    page.emulate_media(color_scheme=scheme)
    page.set_viewport_size({"width": width, "height": 900})
    page.get_by_text("One digit").click()
    expect(page.locator("#bars .winner")).to_have_count(1, timeout=LOADING)
    page.locator("#samples button").nth(1).click()
    expect(page.locator("#answer")).to_have_text("It sees a 2.")
    settle(page)
    page.locator("#sliders input").first.fill("0.3")
    page.wait_for_timeout(500)
    screenshot(page, name)
