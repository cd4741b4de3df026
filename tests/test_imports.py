"""Tests which packages may be absent, and which must not be loaded."""

import tomllib

import keras
import pytest
from conftest import BACKENDS, ROOT, once, run_python

import keras_capsules

pytestmark = [once, pytest.mark.slow]
WITHOUT = "import sys; sys.modules.update(dict.fromkeys(sys.argv[1].split()));"
EXPORT_ONLY = ["onnx", "onnxruntime", "onnxslim", "tf2onnx", "sklearn", "PIL", "matplotlib"]


@pytest.mark.parametrize("backend", BACKENDS)
def test_the_library_needs_one_backend_only(backend):
    absent = [*(name for name in ("tensorflow", "jax", "torch") if name != backend), *EXPORT_ONLY]
    code = "import keras_capsules as k; k.create_model('capsnet', filters=4, primary_capsules=1)"
    run_python(
        "-W", "error::SyntaxWarning", "-c", WITHOUT + code, " ".join(absent), backend=backend
    )


def test_the_device_runner_needs_onnxruntime_and_numpy_only():
    absent = ["keras", "keras_capsules", "tensorflow", "jax", "torch", "onnx", "PIL"]
    run_python("-c", WITHOUT + "import export.device", " ".join(absent))


def test_importing_the_export_loads_nothing_heavy():
    code = "import sys, export.to_onnx; print(*sorted(sys.modules))"
    loaded = set(run_python("-c", code).stdout.split())
    assert not loaded & {"keras", "jinja2", "numpy", "onnx", "onnxruntime", "tensorflow"}


def test_importing_the_library_adds_little_to_importing_keras():
    code = "import time, keras; start = time.process_time(); import keras_capsules; "
    code += "print(time.process_time() - start)"
    seconds = float(run_python("-c", code).stdout)
    assert seconds < 1.0  # Measured 0.06 s, see docs/benchmarks.md; the bound is for busy machines.


def test_the_device_runner_may_be_copied(tmp_path):
    (tmp_path / "device.py").write_text((ROOT / "export/device.py").read_text())
    result = run_python("device.py", "--help", cwd=tmp_path, env={"PYTHONPATH": ""})
    assert "export.to_onnx" in result.stdout


def test_everything_public_is_registered_and_documented():
    for name in keras_capsules.__all__:
        public = getattr(keras_capsules, name)
        assert public.__doc__, name
        if isinstance(public, type) and hasattr(public, "get_config"):
            assert keras.saving.get_registered_name(public).startswith("keras_capsules>"), name


SUBMODULES = "attention callbacks datasets explain layers losses metrics models ops routing".split()


def test_import_star_leaves_names_from_keras_alone():
    scope = {}
    exec("from keras import layers, losses, metrics, models, ops", scope)
    exec("from keras_capsules import *", scope)
    for name in ("layers", "losses", "metrics", "models", "ops"):
        assert scope[name] is getattr(keras, name)
    assert scope["CapsuleLayer"] is keras_capsules.CapsuleLayer
    for name in SUBMODULES:
        assert getattr(keras_capsules, name).__name__ == f"keras_capsules.{name}"


def test_the_package_is_typed():
    data = tomllib.loads((ROOT / "pyproject.toml").read_text())["tool"]["setuptools"]
    assert "py.typed" in data["package-data"]["keras_capsules"]
    assert (ROOT / "keras_capsules/py.typed").read_text() == ""
