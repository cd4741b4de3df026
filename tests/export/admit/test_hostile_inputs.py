"""Files made by hand to do harm: each is refused, and nothing of it runs, is written or is large.

One process runs the command line's function over all of them, under an audit hook that notes what
a refused file must not cause, and measures how far its memory grows.
"""

import io
import json
import pickle
import shutil
import stat
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

pytestmark = [once, pytest.mark.filterwarnings("ignore:Duplicate name")]

# Reads paths of pairs (model, data), a line each; prints what came of each as a line of JSON.
DRIVER = """
import contextlib, io, json, os, re, sys, time
from pathlib import Path
from export import pipeline
from export.admit import weights
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


class Canary:
    """Creates a file when it is unpickled."""

    def __init__(self, path):
        self.path = str(path)

    def __reduce__(self):
        return open, (self.path, "w")


# Archives: each takes the entries of a whole model, bytes by name, and writes a file.


def write(path, entries, method=zipfile.ZIP_STORED):
    """Writes entries, in whose place a ZipInfo may name them."""
    with zipfile.ZipFile(path, "w", method) as archive:
        for name, content in entries:
            archive.writestr(name, content)


def with_entry(name, path, entries):
    write(path, [*entries.items(), (name, b"evil")])


def with_link(path, entries):
    link = zipfile.ZipInfo("config.json")
    link.external_attr = (stat.S_IFLNK | 0o777) << 16
    others = [(name, entries[name]) for name in entries if name != "config.json"]
    write(path, [(link, b"/etc/passwd"), *others])


def with_many_entries(path, entries):
    write(path, [*entries.items(), *((f"assets/{number}", b"") for number in range(10_000))])


def with_bomb(path, entries):
    bomb = entries | {"model.weights.h5": bytes(128 << 20)}
    write(path, bomb.items(), zipfile.ZIP_DEFLATED)


def with_mild_bomb(path, entries):
    """Under the ratio, and 128 MB of JSON all the same."""
    noise = np.random.default_rng(0).integers(97, 123, 8 << 20, "uint8").tobytes()
    write(path, (entries | {"config.json": noise + bytes(128 << 20)}).items(), zipfile.ZIP_DEFLATED)


def with_encrypted_entry(path, entries):
    """Says so in both of its headers."""
    write(path, entries.items())
    content = bytearray(path.read_bytes())
    for header, flags in ((b"PK\x03\x04", 6), (b"PK\x01\x02", 8)):
        content[content.index(header) + flags] |= 1
    path.write_bytes(content)


def with_lying_size(size, path, entries):
    """In the directory of the archive, with a checksum that fits as much as there is of it."""
    write(path, entries.items(), zipfile.ZIP_DEFLATED)
    content, config = bytearray(path.read_bytes()), entries["config.json"]
    place = content.rindex(b"config.json") - 46
    content[place + 16 : place + 20] = zipfile.crc32(config[:size]).to_bytes(4, "little")
    content[place + 24 : place + 28] = size.to_bytes(4, "little")
    path.write_bytes(content)


ARCHIVES = {
    "absolute name": partial(with_entry, "/tmp/evil"),
    "name that leaves": partial(with_entry, "assets/../../evil"),
    "backslashes": partial(with_entry, "assets\\..\\..\\evil"),
    "drive": partial(with_entry, "C:evil"),
    "one file more": partial(with_entry, "assets/vocabulary.txt"),
    "two configurations": partial(with_entry, "config.json"),
    "link": with_link,
    "many entries": with_many_entries,
    "bomb": with_bomb,
    "mild bomb": with_mild_bomb,
    "encrypted": with_encrypted_entry,
    "compressed by LZMA": lambda path, entries: write(path, entries.items(), zipfile.ZIP_LZMA),
    "smaller than it says": partial(with_lying_size, 20_000),
    "larger than it says": partial(with_lying_size, 100),
    "a larger bomb than it says": lambda path, entries: with_lying_size(
        100, path, entries | {"config.json": b" " * (128 << 20)}
    ),
    "pickle": lambda path, entries: path.write_bytes(pickle.dumps(Canary(path.parent / "canary"))),
    "weights in another format": lambda path, entries: write(
        path, [*list(entries.items())[:2], ("model.weights.npz", b"")]
    ),
}


# Configurations: each changes that of a whole model, or gives the text of another.


def with_dense(config, /, **changes):
    """Changes the first Dense layer, the whole of it or its own configuration."""
    dense = next(layer for layer in config["config"]["layers"] if layer["class_name"] == "Dense")
    for name, value in changes.items():
        (dense if name in dense else dense["config"])[name] = value
    return config


def with_gadget(config, module, name, place="activation"):
    gadget = {"module": module, "class_name": "function", "config": name, "registered_name": name}
    return with_dense(config, **{place: gadget})


def with_layer(config, name, /, **options):
    """Puts another layer of Keras in its place."""
    return with_dense(
        config, module="keras.layers", class_name=name, config={"name": "dense", **options}
    )


def with_constant(config, name, argument, **options):
    """Puts an operation in its place, which is called on a constant."""
    return with_dense(
        config,
        module="keras.src.ops.core" if name == "Scan" else "keras.src.ops.numpy",
        class_name=name,
        config={"name": "dense", **options},
        inbound_nodes=[{"args": [argument], "kwargs": {}}],
    )


def with_tables(config, size):
    """Puts a layer in its place that computes tables of the size of its inputs."""
    return with_dense(
        config,
        module="keras.layers",
        class_name="Normalization",
        config={"name": "dense", "mean": 0.0, "variance": 1.0},
        build_config={"input_shape": [None, size]},
    )


def nested(levels):
    """A model in a model in a model, each called twice."""
    image = keras.Input((4,))
    model = keras.Model(image, keras.layers.Dense(4)(image))
    for _ in range(levels):
        image = keras.Input((4,))
        model = keras.Model(image, model(model(image)))
    return keras.saving.serialize_keras_object(model)


def in_reverse(count):
    """Layers one after the other, of which the file describes the last one first."""
    image = x = keras.Input((4,), name="x")
    for number in range(count):
        x = keras.layers.Identity(name=f"layer_{number}")(x)
    config = keras.saving.serialize_keras_object(keras.Model(image, x))
    config["config"]["layers"].reverse()
    return config


CODE = {"class_name": "__lambda__", "config": {"value": ["4wEAAAA=", None, None]}}
CONFIGS = {
    "Lambda": lambda c: with_layer(c, "Lambda", function=CODE),
    "Lambda within a wrapper": lambda c: with_layer(
        c, "TimeDistributed", layer={"module": "keras.layers", "class_name": "Lambda", "config": {}}
    ),
    "Lambda under a dotted name": lambda c: with_dense(
        c, module="keras", class_name="layers.Lambda", config={"function": "relu"}
    ),
    "Lambda by its file": lambda c: with_dense(
        c, module="keras.src.layers.core.lambda_layer", class_name="Lambda"
    ),
    "Lambda of Keras 2": lambda c: {**with_layer(c, "Lambda", function=["4wE=", None, None])},
    "lambda as an initializer": lambda c: with_dense(c, kernel_initializer=CODE),
    "lambda of Keras 2": lambda c: with_dense(c, activation={"value": ["4wE=", None, None]}),
    "TFSMLayer": lambda c: with_layer(c, "TFSMLayer", filepath="/secret"),
    "TorchModuleWrapper": lambda c: with_layer(c, "TorchModuleWrapper", module="gASVIQ=="),
    "JaxLayer": lambda c: with_layer(c, "JaxLayer", call_fn=CODE),
    "os.system": lambda c: with_gadget(c, "os", "system"),
    "builtins.exec": lambda c: with_gadget(c, "builtins", "exec"),
    "a class of another package": lambda c: with_dense(c, module="subprocess", class_name="Popen"),
    "get_file": lambda c: with_gadget(c, "keras.utils", "get_file"),
    "get_file under a dotted name": lambda c: with_gadget(c, "keras", "utils.get_file"),
    "get_file as a class": lambda c: with_dense(c, module="keras.utils", class_name="get_file"),
    "load_model": lambda c: with_gadget(c, "keras.saving", "load_model"),
    "enable_unsafe_deserialization": lambda c: with_gadget(
        c, "keras.config", "enable_unsafe_deserialization", "kernel_initializer"
    ),
    "a private module of Keras": lambda c: with_gadget(c, "keras.src.utils.io_utils", "print_msg"),
    "a layer of Keras 2": lambda c: {
        **c,
        "config": {
            **c["config"],
            "layers": [
                {
                    "class_name": "deserialize",
                    "registered_name": "keras_capsules>CapsuleLayer",
                    "config": {},
                }
            ],
        },
    },
    "a class that is not registered": lambda c: with_dense(
        c, module="evil", class_name="Evil", registered_name="evil>Evil"
    ),
    "registered name that is a list": lambda c: with_dense(c, module="evil", registered_name=[1]),
    "vocabulary from a file": lambda c: with_layer(c, "StringLookup", vocabulary="/tmp/secret"),
    "vocabulary from a URL": lambda c: with_layer(
        c, "TextVectorization", vocabulary="http://localhost/secret"
    ),
    "10^12 weights": lambda c: with_dense(c, units=10**12),
    "10^40 weights": lambda c: with_dense(c, units=10**40),
    "as many weights as memory": lambda c: with_dense(c, units=10**9),
    "negative weights": lambda c: with_dense(c, units=-(10**9)),
    "NaN weights": lambda c: with_dense(c, units=float("nan")),
    "infinite weights": lambda c: with_dense(c, units=float("inf")),
    "weights by a string": lambda c: with_dense(c, units="10000"),
    "10^12 values": lambda c: with_layer(c, "RepeatVector", n=10**12),
    "constants of Tile": lambda c: with_constant(c, "Tile", [[1.0]], repeats=[10**9]),
    "constants of BroadcastTo": lambda c: with_constant(c, "BroadcastTo", 1.0, shape=[10**9]),
    "constants of Scan": lambda c: with_constant(c, "Scan", None, length=10**9, unroll=10**9),
    "tables as large as memory": lambda c: with_tables(c, 10**9),
    "tables as large as a value may be": lambda c: with_tables(c, 10**8),
    "states as large as memory": lambda c: with_layer(c, "LSTM", units=1, stateful=1),
    "models in models": lambda c: nested(10),
    "layers in reverse": lambda c: in_reverse(800),
    "n-grams as large as memory": lambda c: with_layer(
        c, "TextVectorization", ngrams=10**9, standardize=None, split=None, vocabulary=["a"]
    ),
    "10^9 bins": lambda c: with_layer(c, "Hashing", num_bins=10**9, output_mode="one_hot"),
    "escape codes as a class": lambda c: with_dense(
        c, module="\x1b[2J", class_name="\x1b]0;evil\x07"
    ),
    "escape codes as a name": lambda c: with_dense(c, name="\x1b[2J", units=10**12),
    "deep lists": lambda c: "[" * 200_000 + "]" * 200_000,
    "deep layers": lambda c: '{"class_name": "a", "config": ' * 5000 + "1" + "}" * 5000,
    "deep enough for json only": lambda c: '{"a":' * 700 + "1" + "}" * 700,
    "17 MiB": lambda c: json.dumps(c) + " " * (17 << 20),
    "number of 5000 digits": lambda c: json.dumps(c).replace(
        '"units": 3', f'"units": {"9" * 5000}'
    ),
    "no text": lambda c: b"\xff\xfe\x00",
    "no model": lambda c: {},
}


# Weights: each changes the HDF5 file of a whole model.


def kernel_replaced(file, make):
    """Takes the array of the kernel away, and lets `make` put something in its place."""
    group = file["layers/dense/vars"]
    del group["0"]
    make(group)


def group_replaced(file, link):
    file.move("layers/dense", "elsewhere")
    file["layers/dense"] = link


def virtual(group):
    layout = h5py.VirtualLayout((4, 3), "float32")
    layout[:] = h5py.VirtualSource("secret.h5", "kernel", (4, 3))
    group.create_virtual_dataset("0", layout)


WEIGHTS = {
    "shape bomb": lambda f: kernel_replaced(
        f, lambda g: g.create_dataset("0", (2**20, 2**18), "float32", chunks=True)
    ),
    "contiguous shape bomb": lambda f: kernel_replaced(
        f, lambda g: g.create_dataset("0", (2**20, 2**18), "float32")
    ),
    "compression bomb": lambda f: kernel_replaced(
        f, lambda g: g.create_dataset("0", data=np.zeros((4, 5_000_000), "f4"), compression="gzip")
    ),
    "another shape": lambda f: kernel_replaced(
        f, lambda g: g.create_dataset("0", data=np.zeros((3, 4), "f4"))
    ),
    "no kernel": lambda f: kernel_replaced(f, lambda g: None),
    "group for an array": lambda f: kernel_replaced(f, lambda g: g.create_group("0")),
    "objects": lambda f: kernel_replaced(
        f, lambda g: g.create_dataset("0", data=["evil"] * 12, dtype=h5py.string_dtype())
    ),
    "objects in fields": lambda f: kernel_replaced(
        f, lambda g: g.create_dataset("0", (4, 3), [("evil", h5py.string_dtype())])
    ),
    "null": lambda f: kernel_replaced(f, lambda g: g.create_dataset("0", data=h5py.Empty("f4"))),
    "external file": lambda f: kernel_replaced(
        f, lambda g: g.create_dataset("0", (4, 3), "f4", external=[("/tmp/secret", 0, 48)])
    ),
    "virtual": lambda f: kernel_replaced(f, virtual),
    "external link": lambda f: kernel_replaced(
        f, lambda g: g.__setitem__("0", h5py.ExternalLink("secret.h5", "/kernel"))
    ),
    "soft link": lambda f: kernel_replaced(
        f, lambda g: g.__setitem__("0", h5py.SoftLink("/layers/dense/vars/1"))
    ),
    "external link to a group": lambda f: group_replaced(
        f, h5py.ExternalLink("secret.h5", "/dense")
    ),
    "soft link to a group": lambda f: group_replaced(f, h5py.SoftLink("/elsewhere")),
    "external link beside the weights": lambda f: f.__setitem__(
        "more", h5py.ExternalLink("secret.h5", "/")
    ),
    "endless groups": lambda f: f.__setitem__("layers/dense/again", f["layers"]),
    "one array twice": lambda f: f.__setitem__("layers/dense/vars/2", f["layers/dense/vars/0"]),
}


# Data: each gives the bytes of an .npz file.


def npz(**entries):
    file = io.BytesIO()
    with zipfile.ZipFile(file, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, content in entries.items():
            archive.writestr(f"{name}.npy", content)
    return file.getvalue()


def npy(shape, dtype="<f4", payload=b""):
    file = io.BytesIO()
    header = {"descr": dtype, "fortran_order": False, "shape": shape}
    np.lib.format.write_array_header_1_0(file, header)
    return file.getvalue() + payload


def objects(folder):
    file = io.BytesIO()
    np.save(file, np.array([Canary(folder / "canary")], dtype=object), allow_pickle=True)
    return npz(x=file.getvalue())


DATA = {
    "pickled objects": objects,
    "pickle for an array": lambda folder: npz(x=pickle.dumps(Canary(folder / "canary"))),
    "shape without a payload": lambda folder: npz(x=npy((2**40, 4))),
    "shape larger than its payload": lambda folder: npz(x=npy((100, 4), payload=b"1234")),
    "negative shape": lambda folder: npz(x=npy((-1, 4), payload=b"1234")),
    "bomb": lambda folder: npz(x=npy((2**23, 4), payload=bytes(2**27))),
    "code in the header": lambda folder: npz(x=npy((1, 4)).replace(b"False", b"[]()+")),
    "cut short": lambda folder: npz(x=npy((1, 4), payload=bytes(16)))[20:],
}


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
