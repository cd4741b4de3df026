"""Files made by hand to do harm on a device: each ends with a line and the documented code."""

import io
import json
import os
import struct
import zipfile
import zlib
from functools import partial

import numpy as np
import onnx
import pytest
from conftest import once
from onnx import TensorProto, helper
from PIL import Image

from export import device, verify

pytestmark = once

PIXELS = ["batch", 4, 4, 3]


def scoring(path, shape=PIXELS, kind=TensorProto.FLOAT, nodes=None, opset=17, **metadata):
    """Writes a model of three scores, or of these nodes, with these metadata."""
    nodes = nodes or [
        helper.make_node("ReduceMean", ["image"], ["scores"], axes=[1, 2], keepdims=0)
    ]
    values = [helper.make_tensor_value_info("image", kind, shape), out("scores")]
    graph = helper.make_graph(nodes, "g", values[:1], values[1:])
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", opset)], ir_version=8)
    for name, value in metadata.items():
        model.metadata_props.add(key=name, value=value)
    onnx.save(model, path)


def out(name):
    return helper.make_tensor_value_info(name, TensorProto.FLOAT, None)


def ending(capsys, command, *arguments):
    """Runs a command, and returns its code and what it said, which must be one plain line."""
    code = command.main([str(argument) for argument in arguments])
    printed = capsys.readouterr()
    for line in (printed.out + printed.err).splitlines():
        assert line.isprintable(), ascii(line)
    if code:
        assert len(printed.err.splitlines()) == 1 and len(printed.err) < 2000
    return code, printed.out + printed.err


@pytest.fixture
def image(tmp_path):
    Image.new("RGB", (4, 4), "red").save(tmp_path / "red.png")
    return tmp_path / "red.png"


DEEP = "[" * 100_000 + "]" * 100_000


@pytest.mark.parametrize(
    "metadata",
    [
        {"class_names": text}
        for text in ("{", '"abc"', "3", '{"a": 1}', "[1, 2, 3]", '["a"]', '[["a"], "b", "c"]', DEEP)
    ]
    + [
        {"input_range": text}
        for text in ("[0]", "1", '["0", "1"]', "[null, 1]", "{}", "[0, 1, 2]", f"[0, {'9' * 400}]")
    ]
    + [{"task": text} for text in ("[]", "3", '{"kind": 3}', '{"kind": [], "threshold": 1}')]
    + [{"task": '{"kind": "labels", "threshold": "high"}'}, {"task": '{"threshold": null}'}]
    + [{"preprocessing": text} for text in ("[]", "null", '"last"', "{")],
    ids=lambda metadata: str(metadata)[:50],
)
def test_metadata_of_the_wrong_kind(tmp_path, image, capsys, metadata):
    scoring(tmp_path / "model.onnx", **metadata)
    assert ending(capsys, device, tmp_path / "model.onnx", image)[0] == 4


def test_names_of_classes_steer_no_terminal(tmp_path, image, capsys):
    names = ["\x1b[2J\nred\ud800\u202e"] * 3
    scoring(tmp_path / "model.onnx", class_names=json.dumps(names))
    code, text = ending(capsys, device, tmp_path / "model.onnx", image)
    assert code == 0 and "\\x1b[2J" in text and len(text.splitlines()) == 1
    assert device.main([str(tmp_path / "model.onnx"), str(image), "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["predictions"][0]["label"] == names[0]


def test_one_name_for_one_score(tmp_path, capsys):
    nodes = [helper.make_node("Identity", ["image"], ["scores"])]
    task = '{"kind": "binary"}'
    scoring(tmp_path / "one.onnx", ["batch", 1], nodes=nodes, class_names='["cat"]', task=task)
    labels = [p.label for p in device.Predictor(tmp_path / "one.onnx").predict(np.eye(2)[:, :1])]
    assert labels == ["cat", "none"]


def constant(name, array):
    return helper.make_node("Constant", [], [name], value=onnx.numpy_helper.from_array(array, name))


GRAPHS = {
    "no batch": {"shape": []},
    "text": {"kind": TensorProto.STRING, "nodes": [helper.make_node("Size", ["image"], ["n"])]},
    "a large batch": {"shape": [10**12, 4, 4, 3]},
    "a large image": {"shape": ["batch", 10**6, 10**6, 3]},
    "an empty image": {"shape": ["batch", 0, 4, 3]},
    "fails as it runs": {
        "nodes": [
            constant("shape", np.array([7, 11])),
            helper.make_node("Reshape", ["image", "shape"], ["scores"]),
        ]
    },
    "more than memory as it runs": {
        "nodes": [
            helper.make_node("Shape", ["image"], ["shape"]),
            constant("many", np.array([10**15, 1, 1, 1])),
            helper.make_node("Mul", ["shape", "many"], ["large"]),
            helper.make_node("ConstantOfShape", ["large"], ["scores"]),
        ]
    },
}


@pytest.mark.parametrize("name", GRAPHS)
def test_graphs_that_no_image_fits(tmp_path, image, capsys, name):
    scoring(tmp_path / "model.onnx", **GRAPHS[name])
    for more in ([], ["--latency"]):
        assert ending(capsys, device, tmp_path / "model.onnx", image, *more)[0] == 4


def test_names_of_nodes_steer_no_terminal(tmp_path, image, capfd):
    nodes = [constant("shape", np.array([7, 11]))]
    nodes.append(helper.make_node("Reshape", ["image", "shape"], ["scores"], name="\x1b[2Jred"))
    scoring(tmp_path / "model.onnx", nodes=nodes)
    assert device.main([str(tmp_path / "model.onnx"), str(image)]) == 4
    assert "\x1b" not in (error := capfd.readouterr().err) and "\\x1b[2Jred" in error


def test_a_name_that_is_no_text_prints_one_line(tmp_path, image, capfd):
    scoring(tmp_path / "model.onnx", class_names="\x1b[2Jabcdefgh")
    content = (tmp_path / "model.onnx").read_bytes().replace(b"abcdefgh", b"abcd\xff\xfagh")
    (tmp_path / "model.onnx").write_bytes(content)
    assert device.main([str(tmp_path / "model.onnx"), str(image)]) == 4
    printed = capfd.readouterr()
    assert printed.out == "" and len(printed.err.splitlines()) == 1 and "\x1b" not in printed.err


NO_SCORES = {
    "text": [
        constant("words", np.array([["a", "b"]])),
        helper.make_node("Identity", ["words"], ["scores"]),
    ],
    "a sequence": [helper.make_node("SplitToSequence", ["image"], ["scores"], axis=1)],
    "none": [
        constant("shape", np.array([1, 0])),
        helper.make_node("ConstantOfShape", ["shape"], ["scores"]),
    ],
    "one number": [helper.make_node("ReduceMean", ["image"], ["scores"], keepdims=0)],
}


@pytest.mark.parametrize("name", NO_SCORES)
def test_outputs_that_are_no_scores(tmp_path, image, capsys, name):
    scoring(tmp_path / "model.onnx", nodes=NO_SCORES[name])
    assert ending(capsys, device, tmp_path / "model.onnx", image)[0] in (4, 5)


# Images: each writes a file, and gives the code.


def png(path, width, height, data=b""):
    header = struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0)
    content = b"\x89PNG\r\n\x1a\n"
    for kind, payload in ((b"IHDR", header), (b"IDAT", zlib.compress(data)), (b"IEND", b"")):
        check = struct.pack(">I", zlib.crc32(kind + payload))
        content += struct.pack(">I", len(payload)) + kind + payload + check
    path.write_bytes(content)


def broken_chunk(path):
    png(path, 4, 4, bytes(52))
    path.write_bytes(path.read_bytes().replace(b"IDAT", b"IDA\x00"))


def npy(path, shape, dtype="<f4"):
    file = io.BytesIO()
    header = {"descr": dtype, "fortran_order": False, "shape": shape}
    np.lib.format.write_array_header_1_0(file, header)
    path.write_bytes(file.getvalue())


def archive(path):
    with zipfile.ZipFile(path, "w") as file:
        file.writestr("a.npy", b"")


EPS = b"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 4 4\n%%EndComments\nshowpage\n%%EOF\n"
IMAGES = {
    "eps.png": lambda path: path.write_bytes(EPS),
    "bomb.png": partial(png, width=30_000, height=30_000),
    "many.png": partial(png, width=12_000, height=11_500),
    "short.png": partial(png, width=4, height=4),
    "chunk.png": broken_chunk,
    "empty.png": lambda path: path.write_bytes(b""),
    "large.npy": partial(npy, shape=(2**40, 4, 4, 3)),
    "negative.npy": partial(npy, shape=(-1, 4, 4, 3)),
    "archive.npy": archive,
    "text.npy": lambda path: path.write_text("text"),
}


@pytest.mark.parametrize("name", IMAGES)
@pytest.mark.filterwarnings("ignore::PIL.Image.DecompressionBombWarning")
def test_images_that_are_damaged(tmp_path, capsys, monkeypatch, name):
    scoring(tmp_path / "model.onnx")
    IMAGES[name](tmp_path / name)
    monkeypatch.setattr("subprocess.Popen", None)  # Ghostscript would be started by it.
    assert ending(capsys, device, tmp_path / "model.onnx", tmp_path / name)[0] == 4


@pytest.mark.parametrize("dtype", ["<U3", "<c8", "<M8[s]", [("a", "<f4"), ("b", "<f4")], "|b1"])
@pytest.mark.parametrize("kind", [TensorProto.FLOAT, TensorProto.INT64])
def test_arrays_of_the_wrong_kind(tmp_path, capsys, dtype, kind):
    nodes = [
        helper.make_node("Cast", ["image"], ["numbers"], to=TensorProto.FLOAT),
        helper.make_node("Identity", ["numbers"], ["scores"]),
    ]
    scoring(tmp_path / "model.onnx", ["batch", 3], kind, nodes)
    np.save(tmp_path / "array.npy", np.zeros((2, 3), dtype))
    fits = dtype == "|b1" and kind == TensorProto.INT64
    code, _ = ending(capsys, device, tmp_path / "model.onnx", tmp_path / "array.npy")
    assert code == (0 if fits else 5)


def test_what_is_no_regular_file(tmp_path, image, capsys):
    scoring(tmp_path / "model.onnx")
    os.mkfifo(tmp_path / "fifo")
    (tmp_path / "loop").symlink_to(tmp_path / "loop")
    for path in (tmp_path / "fifo", tmp_path / "loop", "/dev/zero", tmp_path / ("n" * 300)):
        assert ending(capsys, device, path, image)[0] == 5
        assert ending(capsys, device, tmp_path / "model.onnx", path)[0] == 5
        assert ending(capsys, verify, path)[0] == 5
    os.mkfifo(tmp_path / "model.onnx.golden.npz")
    assert ending(capsys, verify, tmp_path / "model.onnx")[0] == 5
    steering = tmp_path / "\x1b[2J"
    assert ending(capsys, device, steering, image)[0] == 5
    assert ending(capsys, verify, steering)[0] == 5


@pytest.mark.parametrize("threads", ["-1", "5000", "99999999999999999999"])
def test_threads(tmp_path, image, capsys, threads):
    scoring(tmp_path / "model.onnx")
    assert ending(capsys, device, tmp_path / "model.onnx", image, f"--threads={threads}")[0] == 5
