"""Files made by hand to do harm: each is refused, and nothing of it runs, is written or is large.

One process runs the command line's function over all of them, under an audit hook that notes what
a refused file must not cause, and measures how far its memory grows.
"""

import io
import json
import shutil
import sys
import zipfile
from functools import partial
from pathlib import Path

import h5py
import keras
import numpy as np
import pytest
from conftest import command_line, once, run_python

import export
from export.admit import weights
from tests.export.admit.hostile.archives import ARCHIVES, write
from tests.export.admit.hostile.configurations import CONFIGS
from tests.export.admit.hostile.data import DATA
from tests.export.admit.hostile.weights import WEIGHTS

pytestmark = [once, pytest.mark.filterwarnings("ignore:Duplicate name")]

# Reads paths of pairs (model, data), a line each; prints what came of each as a line of JSON.
DRIVER = """
import contextlib, io, json, os, re, sys, time
from pathlib import Path
from export import pipeline
from export.admit import weights
from tests.export.admit.hostile.archives import ARCHIVES, write
from tests.export.admit.hostile.configurations import CONFIGS
from tests.export.admit.hostile.data import DATA
from tests.export.admit.hostile.weights import WEIGHTS
from export.to_onnx import main

weights.count_apart = weights.count  # Here, where the hook sees what it does.
events = []
FORBIDDEN = ("subprocess.", "os.exec", "os.system", "os.fork", "os.posix_spawn", "socket.",
             "urllib.", "pickle.", "ctypes.dlopen")

def note(event, arguments):
    if event.startswith(FORBIDDEN):
        events.append(event)
    if event == "open" and "secret" in str(arguments[0]):
        events.append("open secret")

sys.addaudithook(note)
target = sys.argv[1]

def megabytes(name):
    status = Path("/proc/self/status").read_text()
    return int(re.search(name + r":\\s+(\\d+)", status)[1]) // 1024

def refuse(model, data):
    output = io.StringIO()
    events.clear()
    Path("/proc/self/clear_refs").write_text("5")  # The peak becomes what is in use.
    before, start = megabytes("VmRSS"), time.perf_counter()
    with contextlib.redirect_stderr(output), contextlib.redirect_stdout(output):
        code = main([model, "-o", target, *(["--data", data] if data else [])])
    return {"code": code, "output": output.getvalue(), "events": list(events),
            "seconds": time.perf_counter() - start,
            "megabytes": megabytes("VmHWM") - before, "left": os.listdir(os.path.dirname(target))}

refuse("missing.keras", None)
for line in sys.stdin:
    print(json.dumps(refuse(*json.loads(line))), flush=True)
"""


@pytest.fixture(scope="module")
def entries(tmp_path_factory):
    """What a whole `.keras` file holds."""
    path = tmp_path_factory.mktemp("whole") / "model.keras"
    keras.utils.set_random_seed(0)
    image = keras.Input((4,), name="x")
    keras.Model(image, keras.layers.Dense(3, name="dense")(image)).save(path)
    with zipfile.ZipFile(path) as archive:
        names = ("metadata.json", "config.json", "model.weights.h5")
        return {name: archive.read(name) for name in names}


def write_config(path, entries, change):
    changed = change(json.loads(entries["config.json"]))
    text = changed if isinstance(changed, (str, bytes)) else json.dumps(changed)
    write(path, (entries | {"config.json": text}).items())


def many_large_values():
    layers = [keras.layers.ReLU() for _ in range(9)]
    return keras.Sequential([keras.Input((1, 1, 1)), keras.layers.UpSampling2D(8000), *layers])


def write_weights(path, entries, change):
    file = io.BytesIO(entries["model.weights.h5"])
    with h5py.File(file, "a") as weights:
        change(weights)
    write(path, (entries | {"model.weights.h5": file.getvalue()}).items())


def write_h5_with_an_archive(path, entries):
    """For Keras a legacy file, whose Lambdas run; for zipfile a whole archive at its end."""
    write(path, entries.items())
    path.write_bytes(entries["model.weights.h5"] + path.read_bytes())


CASES = {
    **{f"archive: {name}": make for name, make in ARCHIVES.items()},
    **{f"config: {name}": partial(write_config, change=change) for name, change in CONFIGS.items()},
    **{
        f"weights: {name}": partial(write_weights, change=change)
        for name, change in WEIGHTS.items()
    },
    "many large values": lambda path, entries: many_large_values().save(path),
    "legacy h5": lambda path, entries: path.write_bytes(entries["model.weights.h5"]),
    **{f"data: {name}": None for name in DATA},
}


# What Keras itself finds wrong; everything else never comes as far.
LEFT_TO_KERAS = {
    "config: negative weights",
    "config: NaN weights",
    "config: infinite weights",
    "config: weights by a string",
    "config: deep enough for json only",
    "config: no model",
    "weights: another shape",
    "weights: no kernel",
    "weights: group for an array",
}


@pytest.fixture(scope="module")
def outcomes(entries, tmp_path_factory):
    """What came of each case, and the folder in which a canary would sit."""
    folder, targets = tmp_path_factory.mktemp("hostile"), tmp_path_factory.mktemp("targets")
    lines = []
    for number, (name, make) in enumerate(CASES.items()):
        model, data = folder / f"{number}.keras", None
        if make is not None:
            make(model, entries)
        else:
            write(model, entries.items())
            data = folder / f"{number}.npz"
            data.write_bytes(DATA[name.removeprefix("data: ")](folder))
        lines.append(json.dumps([str(model), data and str(data)]))
    with h5py.File(folder / "secret.h5", "w") as secret:  # Where links find it.
        secret["dense/vars/0"] = secret["kernel"] = np.ones((4, 3), "float32")
    before = set(folder.iterdir())
    result = run_python("-c", DRIVER, targets / "model.onnx", input="\n".join(lines), cwd=folder)
    assert set(folder.iterdir()) == before
    yield dict(zip(CASES, map(json.loads, result.stdout.splitlines()), strict=True))
    shutil.rmtree(folder)


# What is not unsafe, but cannot be converted.
CODES = {"config: states as large as memory": 2}


@pytest.mark.parametrize("name", CASES)
def test_is_refused_and_does_nothing(outcomes, name):
    outcome = outcomes[name]
    assert outcome["code"] == CODES.get(name, 4), outcome["output"]
    assert "export: " in outcome["output"] and "Traceback" not in outcome["output"]
    assert "\x1b" not in outcome["output"]
    assert len(outcome["output"]) < 1000
    reason = outcome["output"].partition("cannot be loaded")[2].partition("(")[2]
    own = not reason or reason.startswith("The weights") or " wants " in reason
    assert own == (name not in LEFT_TO_KERAS)
    if name.startswith("data: shape"):  # Which numpy would notice after it made room for it.
        assert "must be an array of numbers" in outcome["output"]
    assert outcome["events"] == [] and outcome["left"] == []
    assert outcome["megabytes"] < 100 and outcome["seconds"] < 20


def test_on_the_command_line(entries, tmp_path_factory, tmp_path):
    path = tmp_path_factory.mktemp("hostile") / "model.keras"
    write_weights(path, entries, WEIGHTS["shape bomb"])
    result = command_line(path, "-o", tmp_path / "model.onnx")
    assert result.returncode == 4 and "more bytes than the file has" in result.stderr
    assert "Traceback" not in result.stderr and not list(tmp_path.iterdir())


def test_weights_that_hdf5_reads_for_ever(entries, tmp_path, monkeypatch):
    monkeypatch.setattr(weights, "_SECONDS", 2)
    endless = Path(__file__).parents[2] / "fixtures" / "endless.weights.h5"
    write(tmp_path / "a.keras", (entries | {"model.weights.h5": endless.read_bytes()}).items())
    with pytest.raises(export.RefusedInputError, match="within 2 seconds of the processor"):
        export.export_onnx(tmp_path / "a.keras", tmp_path / "a.onnx")
    assert not (tmp_path / "a.onnx").exists()


def test_weights_on_which_hdf5_crashes(entries, tmp_path, monkeypatch):
    (tmp_path / "w.h5").write_bytes(entries["model.weights.h5"])
    assert weights.count_apart(tmp_path / "w.h5") == weights.count(tmp_path / "w.h5") > 0
    monkeypatch.setattr(sys, "executable", "/bin/false")
    with pytest.raises(export.RefusedInputError, match="HDF5 crashed"):
        weights.count_apart(tmp_path / "w.h5")
