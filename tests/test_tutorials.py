"""The tutorials and the gallery run, and have their places in the site."""

import pytest
from conftest import DATA, ROOT, once

jupytext = pytest.importorskip("jupytext")
nbconvert = pytest.importorskip("nbconvert")
pytestmark = once

# Figures are shown, and TensorFlow's warnings of its tracing are not.
QUIET = "import logging; logging.disable(logging.WARNING)"
KERNEL = ["--matplotlib=inline", f"--IPKernelApp.exec_lines={QUIET}"]
SCRIPTS = [*sorted((ROOT / "docs/tutorials").glob("*.py")), ROOT / "docs/gallery.py"]


def test_each_has_its_place_in_the_navigation():
    import yaml

    navigation = str(yaml.safe_load((ROOT / "mkdocs.yml").read_text())["nav"])
    assert len(SCRIPTS) > 8
    for script in SCRIPTS:
        page = script.relative_to(ROOT / "docs").with_suffix(".md")
        assert f"'{page}'" in navigation


@pytest.mark.parametrize("script", SCRIPTS, ids=lambda script: script.stem)
def test_each_has_a_title_and_its_headings_in_prose(script):
    notebook = jupytext.read(script)
    assert notebook.cells[0].source.startswith("# ")
    for cell in notebook.cells:
        assert cell.cell_type == "markdown" or "# ## " not in cell.source


@pytest.mark.tutorials
@pytest.mark.parametrize("script", SCRIPTS, ids=lambda script: script.stem)
def test_each_runs(script, tmp_path, monkeypatch):
    """In a process of its own and an empty folder. `make docs` shows the output and the figures."""
    from nbclient.exceptions import CellExecutionError
    from nbconvert.preprocessors import ExecutePreprocessor

    monkeypatch.setenv("PYTHONPATH", str(ROOT))
    monkeypatch.setenv("KERAS_CAPSULES_DATA", str(DATA))
    monkeypatch.delenv("JAX_DISABLE_MOST_OPTIMIZATIONS")
    notebook = jupytext.read(script)
    options = {"timeout": 600, "kernel_name": "python3", "coalesce_streams": True}
    run = ExecutePreprocessor(extra_arguments=KERNEL, **options)
    try:
        run.preprocess(notebook, {"metadata": {"path": str(tmp_path)}})
    except CellExecutionError as error:
        if "cannot be downloaded" in error.evalue:
            pytest.skip(error.evalue)
        raise
    code = [cell for cell in notebook.cells if cell.cell_type == "code"]
    for cell in code:  # Of the start-up lines of TensorFlow.
        cell.outputs = [output for output in cell.outputs if output.get("name") != "stderr"]
    figures = [cell for cell in code if "image/png" in str(cell.outputs)]
    assert figures or script.stem == "many_devices"
    folder = ROOT / "build/tutorials"
    folder.mkdir(parents=True, exist_ok=True)
    jupytext.write(notebook, folder / f"{script.stem}.ipynb")
