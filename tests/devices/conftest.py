"""Exported files of many kinds, and what devices/javascript answers in Node and Chromium."""

import importlib.util
import shutil

import keras
import numpy as np
import pytest
from conftest import ROOT

import export
from tests.devices.ask import RUNTIME, ask_chromium, ask_node
from tests.devices.cases import all_cases


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
    return ask_node


@pytest.fixture(scope="session")
def chromium():
    """Returns a function that gives jobs to Chromium, and returns its answers and warnings."""
    if shutil.which("chromium") is None:
        pytest.skip("Chromium is missing: apt-get install chromium")
    if importlib.util.find_spec("playwright") is None:
        pytest.skip("playwright is missing: pip install playwright")
    return ask_chromium
