"""Tests that the page shows its progress, that nothing jumps meanwhile, and what may fail."""

import os
import shutil
import threading

import pytest
from playwright.sync_api import expect

from examples.web.visit import FOUR, LOADING, SITE, SIZES, draw

# The sum over all that moved of how much of the screen it covers times how far it went.
SHIFT = """() => new Promise((resolve) => {
  let sum = 0;
  const observer = new PerformanceObserver((list) => {
    list.getEntries().forEach((entry) => (sum += entry.value));
  });
  observer.observe({ type: "layout-shift", buffered: true });
  setTimeout(() => resolve(sum), 300);
})"""


@pytest.fixture
def slowly(browser, serve):
    """Returns a function that opens the page, where large files wait until it says so."""
    contexts = []

    def open_page(**options):
        context, go = browser.new_context(**options), threading.Event()
        contexts.append(context)
        page = context.new_page()
        waiting = []
        page.route(
            "**/*.onnx", lambda route: route.continue_() if go.is_set() else waiting.append(route)
        )

        def let():
            go.set()
            for route in waiting:
                route.continue_()

        page.goto(serve())
        return page, let

    yield open_page
    for context in contexts:
        context.close()


@pytest.mark.parametrize("width, height", SIZES)
def test_nothing_jumps(slowly, width, height):
    page, let = slowly(viewport={"width": width, "height": height})
    expect(page.locator("#answer")).to_contain_text("Loading the network.")
    expect(page.locator("#progress")).to_be_visible()
    places = "#pad, #answer, #bars, #samples, #evidence, #before, #sliders, footer"
    boxes = (
        "nodes => nodes.map(n => { const r = n.getBoundingClientRect(); return [r.y, r.height]; })"
    )
    page.wait_for_timeout(300)
    before = page.locator(places).evaluate_all(boxes)
    let()
    expect(page.locator("#answer")).to_contain_text("It sees a 7.", timeout=LOADING)
    page.wait_for_timeout(700)
    expect(page.locator("#loading")).to_be_hidden()
    after = page.locator(places).evaluate_all(boxes)
    moved = [(a, b) for a, b in zip(before, after, strict=True) if a[0] != b[0]]
    assert not moved, moved
    assert page.evaluate(SHIFT) < 0.01  # Words on their lines; browsers call up to 0.1 good.


def test_progress_tells_the_bytes(slowly):
    page, let = slowly()
    page.evaluate(
        """() => {
          window.seen = [];
          const text = document.querySelector("#loaded");
          new MutationObserver(() => {
            seen.push([text.textContent, document.querySelector("#progress").value]);
          }).observe(text, { childList: true });
        }"""
    )
    let()
    expect(page.locator("#answer")).to_contain_text("It sees a 7.", timeout=LOADING)
    names = ("digits.onnx", "digits_decoder.onnx", "ort-wasm-simd-threaded.wasm")
    total = sum((SITE / name).stat().st_size for name in names)
    seen = page.evaluate("seen")
    texts, values = zip(*[row for row in seen if row[0]], strict=True)
    assert texts[-1] == f"{total / 1e6:.1f} of {total / 1e6:.1f} MB"
    assert list(values) == sorted(values) and values[-1] == 1 and len(values) > 5


def test_what_is_drawn_while_loading_is_read(slowly):
    page, let = slowly()
    expect(page.locator("#progress")).to_be_visible()
    draw(page, FOUR)
    let()
    expect(page.locator("#answer")).to_have_text("It sees a 4.", timeout=LOADING)


@pytest.mark.parametrize("missing", ["digits.onnx", "ort.wasm.bundle.min.mjs", "networks.json"])
def test_a_missing_file_is_told(browser, serve, tmp_path, missing):
    site = tmp_path / "site"
    shutil.copytree(SITE, site, copy_function=os.link, ignore=shutil.ignore_patterns(missing))
    page = browser.new_page()
    page.goto(serve(site))
    expect(page.locator("#answer")).to_contain_text("could not be loaded")
    expect(page.locator("#retry")).to_be_visible()
    expect(page.locator("#loading")).to_be_hidden()
    if missing == "digits.onnx":
        os.link(SITE / missing, site / missing)
        page.locator("#retry").click()
        expect(page.locator("#answer")).to_have_text("It sees a 7.", timeout=LOADING)
    page.close()


def test_a_browser_without_webassembly_is_told(browser, serve):
    page = browser.new_page()
    page.add_init_script("delete globalThis.WebAssembly")
    page.goto(serve())
    expect(page.locator("#answer")).to_contain_text("no WebAssembly")
    page.close()
