"""Exported files of many kinds, and what devices/javascript answers in Node."""

import json
import shutil
import subprocess
from pathlib import Path

import keras
import numpy as np
import pytest
from conftest import ROOT

import export
from tests.devices.cases import all_cases

RUNTIME = "devices/javascript/node_modules/onnxruntime-web"
SITE = "http://localhost/"  # Nothing listens there: the browser is given the files.
NODE = """
import { readFile } from "node:fs/promises";
const { answersTo } = await import(process.argv[1]);
const jobs = JSON.parse(await readFile(process.argv[2]));
console.log(JSON.stringify(await answersTo(jobs, readFile)));
"""
PAGE = f"""<!doctype html><script type="importmap">
{{"imports": {{"onnxruntime-web": "/{RUNTIME}/dist/ort.bundle.min.mjs"}}}}
</script>"""
BROWSER = """async (jobs) => {
  const { answersTo } = await import("/tests/devices/answers.mjs");
  const read = async (path) => new Uint8Array(await (await fetch(path)).arrayBuffer());
  return JSON.stringify(await answersTo(jobs, read));
}"""


@pytest.fixture(scope="session")
def cases(warm_start, tmp_path_factory):
    """Returns a folder of exported files, and their cases by name."""
    if not (ROOT / RUNTIME).is_dir():
        pytest.skip("onnxruntime-web is missing: npm ci --prefix devices/javascript")
    keras.utils.set_random_seed(0)
    folder = tmp_path_factory.mktemp("devices")
    found = all_cases(np.random.default_rng(0))
    with warm_start():
        for name, case in found.items():
            export.export_onnx(case.model, folder / f"{name}.onnx", **case.options)
    return folder, found


@pytest.fixture(scope="session")
def node():
    """Returns a function that gives jobs to Node, and returns its answers and warnings."""
    if shutil.which("node") is None:
        pytest.skip("Node is missing: apt-get install npm")

    def ask(folder, jobs):
        path = folder / "jobs.json"
        path.write_text(json.dumps(jobs))
        script = ROOT / "tests/devices/answers.mjs"
        command = ["node", "--input-type=module", "--eval", NODE, str(script), str(path)]
        result = subprocess.run(command, capture_output=True, text=True, timeout=300)
        assert result.returncode == 0, result.stderr
        return json.loads(result.stdout), result.stderr

    return ask


@pytest.fixture(scope="session")
def chromium():
    """Returns a function that gives jobs to Chromium, and returns its answers and warnings."""
    if shutil.which("chromium") is None:
        pytest.skip("Chromium is missing: apt-get install chromium")
    playwright = pytest.importorskip("playwright.sync_api")

    def give(route):
        path = Path(route.request.url.removeprefix(SITE.rstrip("/")))
        own = path if path.is_file() else ROOT / path.relative_to("/")
        route.fulfill(path=own) if own.is_file() else route.fulfill(
            body=PAGE, content_type="text/html"
        )

    def ask(folder, jobs):
        with playwright.sync_playwright() as driver:
            browser = driver.chromium.launch(executable_path=shutil.which("chromium"))
            page, warnings = browser.new_page(), []
            page.on("console", lambda message: warnings.append(message.text))
            page.route("**/*", give)
            page.goto(SITE)
            answers = json.loads(page.evaluate(BROWSER, jobs))
            browser.close()
        return answers, "\n".join(warnings)

    return ask
