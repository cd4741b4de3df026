"""What the wheel and the sdist hold. `make test-package` installs them in empty environments."""

import os
import re
import shutil
import subprocess
import sys
import tarfile
import tomllib
import zipfile

import pytest
from conftest import ROOT, once

import keras_capsules
from examples import notice

pytestmark = once
UNWANTED = {"node_modules", "__pycache__", "scores"}
BUILD = (
    "import setuptools.build_meta as backend;"
    "backend.build_sdist('dist'); backend.build_wheel('dist')"
)


@pytest.fixture(scope="module")
def built(tmp_path_factory):
    """The names in the sdist and in the wheel, built from a copy of this tree."""
    pytest.importorskip("setuptools", "77")
    tree = tmp_path_factory.mktemp("package") / "tree"
    unwanted = shutil.ignore_patterns(
        ".*", "build", "dist", "node_modules", "__pycache__", "*.egg-info", "scores"
    )
    shutil.copytree(ROOT, tree, ignore=unwanted)
    environment = {**os.environ, "PYTHONPATH": ""}
    subprocess.run(
        [sys.executable, "-c", BUILD], cwd=tree, env=environment, check=True, capture_output=True
    )
    (sdist,) = (tree / "dist").glob("*.tar.gz")
    (wheel,) = (tree / "dist").glob("*.whl")
    with tarfile.open(sdist) as archive:
        names = {name.partition("/")[2] for name in archive.getnames()}
    with zipfile.ZipFile(wheel) as archive:
        metadata = next(name for name in archive.namelist() if name.endswith("/METADATA"))
        return names, set(archive.namelist()), archive.read(metadata).decode()


def files_below(*folders):
    below = (path for folder in folders for path in (ROOT / folder).rglob("*") if path.is_file())
    names = (path.relative_to(ROOT) for path in below)
    return {
        str(name)
        for name in names
        if not any(part in UNWANTED or part.startswith(".") for part in name.parts)
    }


@pytest.mark.slow
def test_the_wheel_has_the_packages_and_their_data(built):
    _, names, metadata = built
    assert files_below("keras_capsules", "export") <= names
    assert {name.partition("/")[0] for name in names if ".dist-info" not in name} == {
        "keras_capsules",
        "export",
    }
    for name in ("LICENSE", "NOTICE"):
        assert f"License-File: {name}" in metadata
        assert any(path.endswith(f".dist-info/licenses/{name}") for path in names)
    assert f"\nVersion: {keras_capsules.__version__}\n" in metadata


@pytest.mark.slow
def test_the_sdist_can_run_its_tests(built):
    """It has what the tests read; `make test-package` runs some of them from it."""
    names, _, _ = built
    folders = ("tests", "docs", "examples", "benchmarks", "devices", "keras_capsules", "export")
    predictions = {str(path.relative_to(ROOT)) for path in (ROOT / "benchmarks").rglob("*.npz")}
    assert files_below(*folders) - predictions <= names  # Megabytes that no test reads.
    assert not predictions & names
    top = {path.name for path in ROOT.iterdir() if path.is_file() and path.name[0] != "."}
    assert top <= names


def test_the_oldest_versions_are_those_of_pyproject():
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    extras = project["optional-dependencies"]
    tools = set(extras["dev"]) - {line for line in extras["dev"] if line.startswith("pytest>")}
    wanted = {*project["dependencies"], *sum(extras.values(), [])} - tools
    floors = {line.split(",")[0].replace(">=", "==") for line in wanted if ">=" in line}
    lines = (ROOT / "constraints-oldest.txt").read_text().splitlines()
    assert floors == {line for line in lines if "==" in line}


def test_notice_is_made_of_the_cards():
    assert (ROOT / "NOTICE").read_text() == notice.text(), "run `python -m examples.notice`"


def test_the_changelog_has_this_version_with_a_date():
    text = (ROOT / "CHANGELOG.md").read_text()
    version = re.escape(keras_capsules.__version__)
    (section,) = re.findall(
        rf"^## {version}, \d{{4}}-\d\d-\d\d\n(.*?)(?=^## |\Z)", text, re.M | re.S
    )
    assert re.findall(r"^### (.*)$", section, re.M) == ["Added", "Changed", "Fixed"]
