"""A browser, a server, and the page with its first network."""

import functools
import shutil
import threading
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer

import pytest
from playwright.sync_api import expect, sync_playwright

from examples.web import own_files
from examples.web.visit import LOADING, SITE, choose_digits


class _Quiet(SimpleHTTPRequestHandler):
    def log_message(self, *arguments):
        pass


@pytest.fixture(scope="session")
def serve():
    """Returns a function that serves a folder on this machine, and returns its address."""
    servers = []

    def start(folder=SITE):
        handler = functools.partial(_Quiet, directory=folder)
        servers.append(ThreadingHTTPServer(("127.0.0.1", 0), handler))
        threading.Thread(target=servers[-1].serve_forever, daemon=True).start()
        return f"http://127.0.0.1:{servers[-1].server_port}/"

    yield start
    for server in servers:
        server.shutdown()
        server.server_close()


@pytest.fixture(scope="session")
def browser():
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=shutil.which("chromium"))
        yield browser
        browser.close()


@pytest.fixture(scope="module")
def visit(browser, serve):
    """Opens pages of the site by their names, and checks at the end that they made no error."""
    address, pages, errors, requests = serve(), [], [], []

    def open_page(name):
        page = browser.new_page(viewport={"width": 1280, "height": 900})
        page.on("console", lambda message: message.type == "error" and errors.append(message.text))
        page.on("pageerror", lambda error: errors.append(str(error)))
        page.on("request", lambda request: requests.append(request.url))
        page.goto(address + name)
        pages.append(page)
        return page

    yield open_page
    for page in pages:
        page.close()
    assert not errors
    assert [url for url in requests if not url.startswith((address, "data:"))] == []


@pytest.fixture(scope="module")
def loaded(visit):
    page = visit("index.html")
    expect(page.locator("#samples button")).to_have_count(8, timeout=LOADING)
    return page


@pytest.fixture
def page(loaded):
    """Clears the drawing of the loaded page, and selects its first network."""
    choose_digits(loaded, 1)
    loaded.locator("#clear").click()
    expect(loaded.locator("#answer")).to_have_text("Nothing drawn yet.")
    return loaded


@pytest.fixture(scope="session")
def folder(tmp_path_factory):
    """Returns a folder of a user's files and pictures."""
    folder = tmp_path_factory.mktemp("own")
    own_files.write(folder)
    return folder


@pytest.fixture(scope="module")
def opened(visit):
    return visit("own.html")


@pytest.fixture
def own_page(opened):
    """Opens the page of a user's own file again."""
    opened.reload()
    return opened
