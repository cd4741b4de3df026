"""Inputs for `benchmarks.fuzz`: damaged and hostile ones, and the parsers that they are given to.

A target takes a random generator and a folder, makes an input and gives it to a parser. It ends
without an exception, or with one of a documented class.
"""

import contextlib
import copy
import io
import json
import zipfile
from collections.abc import Callable
from functools import cache
from pathlib import Path
from typing import Any

import keras
import numpy as np
from numpy.random import Generator
from onnx import TensorProto, helper
from PIL import Image

from export import command_line, device, doctor, errors, to_onnx, verify
from export.admit import archive, config, count, load, onnx_file, weights
from export.compare import __main__ as compare
from export.options import add_to_parser

DOCUMENTED = (
    *errors.ExportError.__subclasses__(),
    *(verify.SealError, verify.CannotRunError, verify.UsageError),
    *(device.DamagedFileError, ValueError),  # A plain ValueError is what the device documents.
)

_NASTY: tuple[Any, ...] = (
    *(None, True, -1, 0, 1, 2**31, 10**12, 10**40, 1e308, float("nan"), float("-inf")),
    *("", "\x1b[2J", "\ud800", "../x", "a" * 5000, "__lambda__", "Lambda", "\x00", "é\u202e"),
    *([], {}, [[]], {"a": {}}, [None], {"class_name": "Dense", "config": {}}, [1] * 100),
)
_WORDS = (*map(str, _NASTY[:11]), *_NASTY[11:20], "1,2", "x=1,2", "x=", "=1", "nan", "-1", "1.x")
_WORDS += ("/dev/zero", "/", ".", "missing.keras", "x.onnx", "report.json", "--", "-", "@x", "²")


# Changes.


def damaged(generator: Generator, content: bytes) -> bytes:
    """Returns bytes with a few changes: flipped, cut, repeated, moved or overwritten."""
    data = bytearray(content)
    for _ in range(generator.geometric(0.4)):
        if not data:
            break
        start = int(generator.integers(len(data)))
        length = int(min(len(data) - start, generator.geometric(0.05)))
        piece = slice(start, start + length)
        kind = generator.integers(6)
        if kind == 0:
            data[start] ^= 1 << int(generator.integers(8))
        elif kind == 1:
            data[piece] = generator.bytes(length)
        elif kind == 2:
            del data[piece]
        elif kind == 3:
            data[start:start] = data[piece]
        elif kind == 4:
            number = int(generator.choice([0, 1, 2**16 - 1, 2**31 - 1, 2**32 - 1]))
            data[start : start + 4] = number.to_bytes(4, "little")
        else:
            del data[start:]
    return bytes(data)


def changed(generator: Generator, tree: Any) -> Any:
    """Returns a copy of parsed JSON in which some values are others."""
    tree = copy.deepcopy(tree)
    for _ in range(generator.geometric(0.5)):
        holder, key = _place(generator, tree)
        if holder is None:
            return copy.deepcopy(_pick(generator, _NASTY))
        kind = generator.integers(4)
        if kind == 0:
            holder[key] = copy.deepcopy(_pick(generator, _NASTY))
        elif kind == 1:
            other, place = _place(generator, tree)
            holder[key] = copy.deepcopy(other[place])
        elif kind == 2:
            del holder[key]
        elif isinstance(holder, dict):
            holder[str(_pick(generator, _NASTY))] = holder.pop(key)
        else:
            holder.append(copy.deepcopy(holder[key]))
    return tree


def _place(generator, tree):
    """Returns a container below a node, and one of its keys, both at random."""
    places, nodes = [], [tree]
    while nodes:
        node = nodes.pop()
        if not isinstance(node, dict | list):
            continue
        for key, value in node.items() if isinstance(node, dict) else enumerate(node):
            places.append((node, key))
            nodes.append(value)
    return _pick(generator, places) if places else (None, None)


def _pick(generator, values):
    return values[int(generator.integers(len(values)))]


# What is whole.


@cache
def whole() -> dict[str, bytes]:
    """Returns the entries of a `.keras` file, and other whole files, by name."""
    keras.utils.set_random_seed(0)
    image = keras.Input((4, 4, 3), name="image")
    x = keras.layers.Conv2D(2, 3, activation="relu")(keras.layers.Rescaling(1 / 255)(image))
    x = keras.layers.Dense(3, name="scores")(keras.layers.GlobalAveragePooling2D()(x))
    file = io.BytesIO()
    keras.saving.save_model(keras.Model(image, x), path := Path("whole.keras"))
    with zipfile.ZipFile(path) as packed:
        entries = {name: packed.read(name) for name in packed.namelist()}
    entries["keras"] = path.read_bytes()
    path.unlink()
    Image.effect_mandelbrot((4, 4), (-2, -1, 1, 1), 9).convert("RGB").save(file, "PNG")
    entries["png"] = file.getvalue()
    for name, save in (("npz", np.savez), ("npy", lambda f, image: np.save(f, image))):
        save(file := io.BytesIO(), image=np.ones((2, 4, 4, 3), "float32"))
        entries[name] = file.getvalue()
    entries["onnx"] = _network()
    return entries


_METADATA = {
    "class_names": ["ant", "bee", "cat"],
    "input_range": [0.0, 1.0],
    "preprocessing": {"by": "device", "layout": "channels_last"},
    "task": {"kind": "labels", "threshold": 0.5},
}


def _network(metadata=None):
    nodes = [helper.make_node("ReduceMean", ["image"], ["scores"], axes=[1, 2], keepdims=0)]
    values = [
        helper.make_tensor_value_info(name, TensorProto.FLOAT, shape)
        for name, shape in (("image", ["batch", 4, 4, 3]), ("scores", ["batch", 3]))
    ]
    graph = helper.make_graph(nodes, "g", values[:1], values[1:])
    file = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)
    for key, value in (metadata or _METADATA).items():
        file.metadata_props.add(key=key, value=json.dumps(value))
    return file.SerializeToString()


def _seal_parts():
    value = {"name": "image", "shape": [4, 4, 3], "dtype": "float32"}
    scores = {"name": "scores", "shape": [3], "dtype": "float32"}
    suite = {"name": "random", "samples": 2, "allowed": [1e-5]}
    seal = {"format": 1, "inputs": [value], "outputs": [scores], "suites": [suite]}
    seal |= {"sha256": "0" * 64, "reference": "keras"}
    return seal, {"suite_0_input_0": np.ones(96, "f4"), "suite_0_output_0": np.ones(6, "f4")}


# Targets.


def _file(folder, name, content):
    (folder / name).write_bytes(content)
    return folder / name


def _archive(generator, folder):
    path = _file(folder, "model.keras", damaged(generator, whole()["keras"]))
    archive.unpack_model(path, folder)


def _config(generator, folder, build=False):
    content = json.dumps(changed(generator, json.loads(whole()["config.json"]))).encode()
    if generator.integers(4) == 0 and not build:
        content = damaged(generator, content)
    path = _file(folder, archive.CONFIG, content)
    objects = config.check(path, "model.keras")
    if not build:
        count.check_calls(json.loads(path.read_bytes()), "model.keras")
        return
    _file(folder, archive.WEIGHTS, whole()[archive.WEIGHTS])
    load.load_model(folder, "model.keras", objects)


def _model(generator, folder):
    _config(generator, folder, build=True)


def _weights(generator, folder):
    weights.count_apart(_file(folder, "w.h5", damaged(generator, whole()[archive.WEIGHTS])))


def _npz(generator, folder):
    archive.read_arrays(_file(folder, "data.npz", damaged(generator, whole()["npz"])))


def _seal(generator, folder):
    seal, arrays = _seal_parts()
    text = json.dumps(changed(generator, seal)).encode()
    np.savez(file := io.BytesIO(), seal=np.frombuffer(text, "uint8"), **arrays)
    content = file.getvalue()
    verify.read_seal(content if generator.integers(2) else damaged(generator, content))


def _metadata(generator, folder):
    key = _pick(generator, list(_METADATA))
    metadata = {**_METADATA, key: changed(generator, _METADATA[key])}
    predictor = device.Predictor(_file(folder, "model.onnx", _network(metadata)), 1)
    predictor.predict(np.zeros((1, 4, 4, 3), "uint8"))


def _image(generator, folder):
    kind = _pick(generator, ("png", "npy"))
    predictor = device.Predictor(_file(folder, "model.onnx", whole()["onnx"]), 1)
    path = _file(folder, f"image.{kind}", damaged(generator, whole()[kind]))
    predictor.predict(predictor.read_image(path))


def _onnx(generator, folder):
    path = _file(folder, "model.onnx", damaged(generator, whole()["onnx"]))
    with contextlib.suppress(errors.RefusedInputError):
        onnx_file.load(path)
    predictor = device.Predictor(path, 1)
    predictor.predict(np.zeros((1, 4, 4, 3), "uint8"))


def _labels(generator, folder):
    content = damaged(generator, "ant\nbéé\r\ncat\n".encode(_pick(generator, ("utf-8", "utf-16"))))
    to_onnx._read_labels(str(_file(folder, "labels.txt", content)))


@cache
def _flags():
    parser = command_line.Parser("fuzz", "", ())
    add_to_parser(parser)
    return [*parser._option_string_actions, "-o", "--report", "--latency", "--json", "--threads"]


def _commands(generator, folder):
    """Gives a command line of random words to each command; the exit code is a documented one."""
    command: Any = _pick(generator, (to_onnx, compare, device, verify, doctor))
    words = [str(_pick(generator, _WORDS)) for _ in range(generator.integers(1, 4))]
    for _ in range(generator.integers(4)):
        words += [_pick(generator, _flags()), str(_pick(generator, _WORDS))]
    printed = io.StringIO()
    with contextlib.redirect_stderr(printed), contextlib.redirect_stdout(printed):
        try:
            code = command.main([*words, "--colour"] if command is doctor else words)
        except SystemExit as end:  # For --help.
            code = end.code
    text = printed.getvalue()
    if code not in errors.EXIT_CODES or not text.replace("\n", "").isprintable():
        raise AssertionError(f"code {code}, {ascii(text)[:300]}, of {ascii(words)}")


TARGETS: dict[str, Callable[[Generator, Path], None]] = {
    "archive": _archive,
    "config": _config,
    "model": _model,
    "weights": _weights,
    "npz": _npz,
    "seal": _seal,
    "metadata": _metadata,
    "image": _image,
    "onnx": _onnx,
    "labels": _labels,
    "commands": _commands,
}
"""The parsers by name."""
SLOW = ("model", "weights")
"""Building takes long, and HDF5 reads in another process."""
ORDER = (*[name for name in TARGETS if name not in SLOW] * 10, *SLOW)
"""Target of each input, over and over."""
