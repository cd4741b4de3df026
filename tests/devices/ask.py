"""Asks devices/javascript in Node and in Chromium."""

import json
import shutil
import subprocess
from pathlib import Path

ROOT = Path(__file__).parent.parent.parent
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


def ask_node(folder: Path, jobs: list) -> tuple[list, str]:
    """Gives jobs to Node, and returns its answers and warnings."""
    path = folder / "jobs.json"
    path.write_text(json.dumps(jobs))
    script = ROOT / "tests/devices/answers.mjs"
    command = ["node", "--input-type=module", "--eval", NODE, str(script), str(path)]
    result = subprocess.run(command, capture_output=True, text=True, timeout=300)
    assert result.returncode == 0, result.stderr
    return json.loads(result.stdout), result.stderr


def ask_chromium(folder: Path, jobs: list) -> tuple[list, str]:
    """Gives jobs to Chromium, and returns its answers and warnings."""
    from playwright import sync_api

    with sync_api.sync_playwright() as driver:
        browser = driver.chromium.launch(executable_path=shutil.which("chromium"))
        page, warnings = browser.new_page(), []
        page.on("console", lambda message: warnings.append(message.text))
        page.route("**/*", _give)
        page.goto(SITE)
        answers = json.loads(page.evaluate(BROWSER, jobs))
        browser.close()
    return answers, "\n".join(warnings)


def _give(route):
    path = Path(route.request.url.removeprefix(SITE.rstrip("/")))
    own = path if path.is_file() else ROOT / path.relative_to("/")
    route.fulfill(path=own) if own.is_file() else route.fulfill(body=PAGE, content_type="text/html")
