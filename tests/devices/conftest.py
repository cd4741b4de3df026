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

SCRIPT = Path(__file__).with_name("answers.mjs")
RUNTIME = ROOT / "devices/javascript/node_modules/onnxruntime-web"


@pytest.fixture(scope="session")
def cases(warm_start, tmp_path_factory):
    """Returns a folder of exported files, and their cases by name."""
    keras.utils.set_random_seed(0)
    folder = tmp_path_factory.mktemp("devices")
    found = all_cases(np.random.default_rng(0))
    with warm_start():
        for name, case in found.items():
            export.export_onnx(case.model, folder / f"{name}.onnx", **case.options)
    return folder, found


@pytest.fixture(scope="session")
def node():
    """Returns a function that gives jobs to Node and returns its answers."""
    if shutil.which("node") is None:
        pytest.skip("Node is missing: apt-get install npm")
    if not RUNTIME.is_dir():
        pytest.skip("onnxruntime-web is missing: npm ci --prefix devices/javascript")

    def run(folder, jobs):
        path = folder / "jobs.json"
        path.write_text(json.dumps(jobs))
        command = ["node", str(SCRIPT), str(path)]
        result = subprocess.run(command, capture_output=True, text=True, timeout=300)
        assert result.returncode == 0, result.stderr
        return json.loads(result.stdout), result.stderr

    return run
