"""The examples in docstrings, in the README and in docs run, and give what they say."""

import ast
import doctest
import importlib
import itertools
import pkgutil
import re
import shlex

import keras
import numpy as np
import pytest
from conftest import ROOT, once, run_python

import export
import keras_capsules


def documented_objects():
    """Everything public in both packages that has an example."""
    finder, found = doctest.DocTestFinder(exclude_empty=True), {}
    for package in (keras_capsules, export):
        for module in pkgutil.walk_packages(package.__path__, package.__name__ + "."):
            for test in finder.find(importlib.import_module(module.name)):
                if test.examples:
                    found[test.name] = test
    for test in finder.find(export):
        if test.examples:
            found[test.name] = test
    return found


EXAMPLES = documented_objects()


def plain(value):
    """Tensors as lists, whatever the backend, and shapes as tuples."""
    if isinstance(value, (tuple, list)) and not hasattr(value, "numel"):
        return type(value)(map(plain, value))
    if keras.ops.is_tensor(value):
        return keras.ops.convert_to_numpy(value).tolist()
    return tuple(value) if type(value).__name__ in ("TensorShape", "Size") else value


@once
@pytest.mark.usefixtures("warm_conversions")
@pytest.mark.parametrize("name", sorted(EXAMPLES))
def test_docstring_example(name, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    if ".plot_" in name:
        pytest.importorskip("matplotlib")
    scope = {"keras": keras, "keras_capsules": keras_capsules, "export": export, "np": np}
    scope["Predictor"] = lambda path: importlib.import_module("export.device").Predictor(
        digits_file(tmp_path)
    )
    for example in EXAMPLES[name].examples:
        if not example.want:
            exec(example.source, scope)
            continue
        found, wanted = plain(eval(example.source, scope)), ast.literal_eval(example.want)
        if isinstance(wanted, (list, float)) and not isinstance(np.ravel(wanted)[0], str):
            np.testing.assert_allclose(found, wanted, rtol=1e-2)
        elif name != "export.device.Predictor":  # Its label depends on how it was trained.
            assert found == wanted


def digits_file(folder):
    model = keras_capsules.create_model("capsnet", filters=4, primary_capsules=1)
    export.export_onnx(model, folder / "digits.onnx")
    return folder / "digits.onnx"


def test_every_public_class_and_function_has_an_example():
    shown = {name.rpartition(".")[2] for name in EXAMPLES}
    exempt = {"Routing", "RoutingResult"}  # Base classes; the routings have examples.
    public = [n for n in keras_capsules.__all__ if callable(getattr(keras_capsules, n))]
    assert set(public) - shown <= exempt


def test_the_routing_of_contributing(generator, tmp_path):
    """It works in a layer, and saves."""
    (code,) = re.findall(r"```python\n(.*?)```", (ROOT / "CONTRIBUTING.md").read_text(), re.S)
    scope = {}
    exec(code, scope)
    layer = keras_capsules.CapsuleLayer(3, 4, routing=scope["MeanRouting"]())
    model = keras.Sequential([keras.Input((6, 5)), layer])
    poses = generator.normal(size=(2, 6, 5)).astype("float32")
    votes = np.einsum("bid,ijde->bije", poses, keras.ops.convert_to_numpy(layer.kernel))
    np.testing.assert_allclose(model.predict(poses, verbose=0), votes.mean(axis=1), atol=1e-5)
    model.save(tmp_path / "model.keras")
    loaded = keras.models.load_model(tmp_path / "model.keras")
    np.testing.assert_array_equal(loaded.predict(poses), model.predict(poses))


PAGES = ["README.md", *(f"docs/{name}.md" for name in ("models", "layers", "export", "device"))]


@once
@pytest.mark.usefixtures("warm_conversions")
def test_the_pages(tmp_path, monkeypatch):
    """Their Python and their exports run from top to bottom, in a folder that is empty at first."""
    pytest.importorskip("sklearn")
    monkeypatch.chdir(tmp_path)
    scope = {"__name__": "pages"}
    texts = [(ROOT / page).read_text() for page in PAGES]
    found = [re.findall(r"```(python|bash)\n(.*?)```", text, re.S) for text in texts]
    assert all(found)
    for language, block in itertools.chain.from_iterable(found):
        if language == "python":
            exec(block, scope)
            continue
        for line in block.splitlines():
            if line.startswith(("python -m export.to_onnx", "python -m export.verify")):
                run_python(*shlex.split(line, comments=True)[1:], cwd=tmp_path)


def test_the_readme_is_short():
    assert len((ROOT / "README.md").read_text().splitlines()) <= 150


@pytest.mark.parametrize("page", ["README.md", "CONTRIBUTING.md", "docs"])
def test_links_lead_somewhere(page):
    """To a file, and where they name a heading, to that heading."""
    files = sorted((ROOT / page).glob("*.md")) if (ROOT / page).is_dir() else [ROOT / page]
    for file in files:
        prose = re.sub(r"```.*?```|`[^`]*`", "", file.read_text(), flags=re.S)
        for link in re.findall(r"\]\(([^)]+)\)", prose):
            path, _, heading = link.partition("#")
            if path.startswith("http"):
                continue
            target = file.parent / path if path else file
            assert target.exists(), f"{file.name}: {link}"
            assert not heading or heading in headings(target), f"{file.name}: {link}"


def headings(file):
    lines = re.findall(r"^#+ (.*)$", file.read_text(), re.M)
    return {re.sub(r"[^\w\- ]", "", line.lower()).replace(" ", "-") for line in lines}
