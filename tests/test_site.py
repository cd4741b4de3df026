"""The site has a page for each public name, leads somewhere, and asks no other server."""

import importlib
import importlib.util
import re
import subprocess
import sys

import pytest
from conftest import ROOT, once

import export
import keras_capsules

pytestmark = once


@pytest.fixture(scope="module")
def pages():
    spec = importlib.util.spec_from_file_location("pages", ROOT / "docs/pages.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def test_each_public_name_has_a_page(pages):
    listed = {}
    for module in pages.MODULES.values():
        imported = importlib.import_module(module)
        for name in pages.public_names(module):
            listed[name] = getattr(imported, name)
    for package in (keras_capsules, export):
        for name in package.__all__:
            value = getattr(package, name)
            assert not callable(value) or listed.get(name) is value, name
    for module in pages.MODULES.values():
        names = getattr(importlib.import_module(module), "__all__", [])
        assert {name for name in names if callable(listed.get(name))} <= set(listed), module


def test_links_of_the_readme_lead_to_the_pages_beside_it(pages):
    text = "[a](docs/layers.md#b), [c](docs/figures/d.png), [e](../README.md), [f](examples)"
    moved = pages.moved(text)
    assert moved == "[a](layers.md#b), [c](figures/d.png), [e](index.md), f"
    assert pages.moved("[g](docs/gallery.py), [t](docs/tutorials/a.py)") == (
        "[g](gallery.md), [t](tutorials/a.md)"
    )


def test_a_page_shows_the_output_of_its_script_as_it_is_now(pages, tmp_path, monkeypatch):
    jupytext, _ = pytest.importorskip("jupytext"), pytest.importorskip("nbconvert")
    for name in ("ROOT", "SOURCE", "RAN"):
        monkeypatch.setattr(pages, name, tmp_path / name)
    script = tmp_path / "ROOT/docs/tutorials/one.py"
    for folder in (script.parent, tmp_path / "RAN"):
        folder.mkdir(parents=True)
    script.write_text("# %% [markdown]\n# # One\n#\n# ## Part\n\n# %%\nprint(6 * 7)\n")
    notebook = jupytext.read(script)
    figure = {"output_type": "display_data", "metadata": {}, "data": {"image/png": "aGVsbG8="}}
    printed = {"output_type": "stream", "name": "stdout", "text": "42\n"}
    notebook.cells[1].outputs = [type(notebook)(printed), type(notebook)(figure)]
    jupytext.write(notebook, tmp_path / "RAN/one.ipynb")
    pages.write_script(script)
    page = tmp_path / "SOURCE/tutorials/one.md"
    assert "\n    42\n" in page.read_text()
    (name,) = re.findall(r"!\[Figure: Part\]\((.*)\)", page.read_text())
    assert (page.parent / name).read_bytes() == b"hello"

    for change, kept in ((("# Part", "# Section"), True), (("6 * 7", "6 * 8"), False)):
        script.write_text(script.read_text().replace(*change))
        monkeypatch.setattr(pages, "SOURCE", tmp_path / change[1])
        pages.write_script(script)
        text = (pages.SOURCE / "tutorials/one.md").read_text()
        assert change[1] in text and ("\n    42\n" in text) == kept


@pytest.mark.slow
def test_the_site_asks_no_other_server(tmp_path, pages, monkeypatch):
    """Built strictly: a link that leads nowhere is an error."""
    pytest.importorskip("mkdocs")
    monkeypatch.setattr(pages, "SOURCE", tmp_path / "source")
    pages.main()
    config = (ROOT / "mkdocs.yml").read_text()
    config = config.replace("build/site_source", "source").replace("build/site", "site")
    config = config.replace("docs/docstrings.py", str(ROOT / "docs/docstrings.py"))
    (tmp_path / "mkdocs.yml").write_text(config.replace("paths: [.]", f"paths: [{ROOT}]"))
    command = [sys.executable, "-m", "mkdocs", "build", "--strict", "--quiet"]
    subprocess.run(command, cwd=tmp_path, check=True)
    built = sorted((tmp_path / "site").rglob("*.html"))
    assert len(built) > 40
    for page in built:
        asked = re.findall(
            r'<(?:script|link|img)[^>]*(?:src|href)="(https?:[^"]*)"', page.read_text()
        )
        assert not asked, page.name
    (layer,) = (page for page in built if page.name == "layers.html" and "reference" in page.parts)
    text = layer.read_text()
    assert 'id="keras_capsules.layers.CapsuleLayer"' in text
    assert '<span class="gp">&gt;&gt;&gt; </span>' in text
