"""What the doctor finds, installs being simulated, and what it says of this one."""

import re
import tomllib

import pytest
from conftest import ROOT, once, run_python

from export import doctor

GOOD = {
    "keras": "3.15.1",
    "numpy": "2.4.6",
    "tensorflow": "2.21.0",
    "tf2onnx": "1.17.0",
    "onnx": "1.23.2",
    "onnxruntime": "1.32.0",
    "onnxslim": "0.1.98",
    "torch": "2.13.0+cpu",
    "jax": "0.4.38",
    "jax2onnx": "0.16.0",
    "protobuf": "7.36.2",
}


def test_the_versions_wanted_are_those_of_pyproject():
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    extras = project["optional-dependencies"]
    required = " ".join(project["dependencies"] + sum(extras.values(), []))
    for name, wanted in doctor.PACKAGES.items():
        assert set(re.findall(rf"(?<![\w-]){name}(>=\S+)", required)) <= {wanted}
        assert not wanted or f"{name}{wanted}" in required


@pytest.fixture
def examine(monkeypatch, capsys):
    """Runs the doctor on a simulated installation, without converting."""

    def run(trial=(True, "converted"), **versions):
        class Trial:
            def __init__(self, route):
                self.route = route

            def result(self):
                return trial if self.route == "tf2onnx" else (True, "converted")

        monkeypatch.setattr(doctor, "Trial", Trial)
        monkeypatch.setattr(doctor, "installed_versions", lambda: GOOD | versions)
        code = doctor.main([])
        return code, capsys.readouterr().out

    return run


def test_routes_that_lack_packages_are_named_with_their_cure(examine):
    code, text = examine()
    assert code == 0 and "The export works." in text
    assert "needs jax:\n    pip install --upgrade 'jax>=0.5'\n" in text
    assert re.search(r"tf2onnx +works +converted", text)


@pytest.mark.parametrize(
    ("versions", "words"),
    [
        ({"tf2onnx": None}, ["missing", "pip install --upgrade 'tf2onnx>=1.17'"]),
        ({"onnx": "1.20.0"}, ["1.20.0         wanted: >=1.21", "'onnx>=1.21'"]),
        ({"tf2onnx": "1.16.1"}, ["numpy 2 has removed", "needs protobuf 3.20"]),
        ({"keras": "4.0.0"}, ["wanted: >=3.15,<4", "'keras>=3.15,<4'"]),
    ],
)
def test_a_default_route_that_cannot_work(examine, versions, words):
    code, text = examine(**versions)
    assert code == 2 and "does not work" in text
    for word in words:
        assert word in text


def test_a_conflict_and_a_conversion_that_fails(examine):
    code, text = examine(trial=(False, "TypeError: Descriptors"), protobuf="4.25.3")
    assert code == 2
    assert re.search(r"tf2onnx +FAILS +TypeError: Descriptors", text)
    assert "pip install --upgrade 'protobuf>=5.28'" in text
    assert "protobuf" not in examine()[1].partition("  protobuf ")[2].partition("\n")[2]


def test_a_trial_that_fails_says_why(monkeypatch):
    monkeypatch.setattr(doctor, "_TRIAL", "raise SystemExit('no such thing')")
    assert doctor.Trial("tf2onnx").result() == (False, "no such thing")


@once
def test_here():
    result = run_python("-m", "export.doctor")
    assert re.search(r"tf2onnx +works +converted a capsule network, off by \d", result.stdout)
