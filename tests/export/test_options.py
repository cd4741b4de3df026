"""The options of an export: declared once, the same everywhere, checked before anything else."""

import inspect
import re
from dataclasses import MISSING, fields

import numpy as np
import pytest
from conftest import once

import export
from export import ExportOptions, to_onnx

pytestmark = once

NAMES = [option.name for option in fields(ExportOptions)]

# What a user writes for each option on the command line, and what it should become.
GIVEN = {
    "opset": ("13", 13),
    "min_onnxruntime": ("1.14", "1.14"),
    "batch": ("3", 3),
    "via": ("torch", "torch"),
    "input_shapes": ("image=28,28,1 words=None", {"image": (28, 28, 1), "words": (None,)}),
    "sizes": ("height=32,225 width=48", {"height": (32, 225), "width": (48,)}),
    "outputs": ("scores,poses", ["scores", "poses"]),
    "labels": ("labels.txt", ["ant", "bee"]),
    "data": ("data.npz", {"x": [1.0, 2.0]}),
    "input_range": ("-1 2.5", (-1.0, 2.5)),
    "preprocess": ("", True),
    "mean": ("0.5 0.25", [0.5, 0.25]),
    "std": ("2", [2.0]),
    "layout": ("channels_first", "channels_first"),
    "ort": ("", True),
    "c": ("", True),
    "ram": ("65536", 65536),
    "profile": ("web", "web"),
    "precision": ("float16", "float16"),
    "max_drop": ("2.5", 2.5),
    "task": ("labels", "labels"),
    "threshold": ("0.25", 0.25),
    "allow": ("Loop,If", ["Loop", "If"]),
    "force": ("", True),
}


@pytest.fixture
def parsed(tmp_path, monkeypatch):
    """Returns the options that the command line makes of some arguments, without an export."""
    monkeypatch.chdir(tmp_path)
    (tmp_path / "labels.txt").write_text("ant\nbee\n")
    np.savez(tmp_path / "data.npz", x=[1.0, 2.0])
    received = []

    def export_onnx(model, path, options):
        received.append(options)
        raise export.UsageError("That was enough.")

    monkeypatch.setattr(to_onnx, "export_onnx", export_onnx)
    monkeypatch.setattr("export.admit.archive.check_model", lambda path: None)
    monkeypatch.setattr(to_onnx.signal, "signal", lambda *_: None)

    def parse(*arguments):
        assert to_onnx.main(["model.keras", "-o", "model.onnx", *arguments]) == 5
        return received.pop()

    return parse


def flag_of(name):
    return "--" + name.replace("_", "-")


def test_the_signature_has_the_names_and_defaults_of_the_options():
    signature = inspect.signature(export.export_onnx).parameters
    assert list(signature) == ["model", "path", "options", *NAMES]
    for option in fields(ExportOptions):
        assert option.default is not MISSING
        assert signature[option.name].default == option.default
        assert signature[option.name].kind is inspect.Parameter.KEYWORD_ONLY


def test_the_command_line_has_the_defaults_of_the_options(parsed):
    assert parsed() == ExportOptions()


@pytest.mark.parametrize("name", NAMES)
def test_each_option_is_a_flag(parsed, name):
    text, expected = GIVEN[name]
    needed = dict.fromkeys(("mean", "std", "layout"), ["preprocess"]) | {"ram": ["c"]}
    needed = needed.get(name, [])
    options = parsed(flag_of(name), *text.split(), *map(flag_of, needed))
    changed = {
        option.name: getattr(options, option.name)
        for option in fields(options)
        if np.any(getattr(options, option.name) != option.default)
    }
    if name == "data":
        changed = {"data": {key: array.tolist() for key, array in changed["data"].items()}}
    wanted = {name: expected} | dict.fromkeys(needed, True)
    assert changed == wanted


def test_each_option_has_a_text_in_every_place(monkeypatch, capsys):
    monkeypatch.setenv("COLUMNS", "10000")  # So that no line is broken.
    with pytest.raises(SystemExit) as end:
        to_onnx.main(["--help"])
    assert end.value.code == 0
    in_help = words(capsys.readouterr().out)
    documented = inspect.getdoc(ExportOptions).split("Args:\n")[1].split("\n\n")[0]
    texts = dict(re.findall(r"(?m)^    (\w+): (.+(?:\n        .+)*)", documented))
    assert list(texts) == NAMES
    for name, text in texts.items():
        assert len(text.split()) >= 5
        assert words(f"{name}: {text}") in words(export.export_onnx.__doc__), name
        in_flags = re.sub(r"`(\w+)`", lambda match: flag_of(match[1]), words(text))
        assert re.search(rf"{flag_of(name)} .{{0,60}}{re.escape(in_flags)}", in_help), name


def words(text):
    return " ".join(text.split())


def test_an_option_that_does_not_exist():
    with pytest.raises(TypeError, match="colour"):
        export.export_onnx("model.keras", "model.onnx", colour="red")
    with pytest.raises(TypeError, match="colour"):
        ExportOptions(colour="red")


def test_keywords_change_the_options_that_are_given(monkeypatch):
    from export import pipeline

    monkeypatch.setattr(pipeline, "run", lambda model, path, options: options)
    options = ExportOptions(opset=13, ort=True)
    assert export.export_onnx("m", "p", options, opset=14) == ExportOptions(opset=14, ort=True)
    assert export.export_onnx("m", "p", options) is not None and options.opset == 13
    assert export.export_onnx("m", "p") == ExportOptions()


@pytest.mark.parametrize(
    "options, words",
    [
        ({"min_onnxruntime": "1.5"}, "from 1.6 on.*Received: '1.5'"),
        ({"min_onnxruntime": "1.400"}, "Received: '1.400'"),
        ({"min_onnxruntime": "new"}, "Received: 'new'"),
        ({"min_onnxruntime": "1.11", "opset": 17}, "opset from 13 to 16.*from 1.12 on"),
        ({"opset": 19}, "opset must be from 13 to 18"),
        ({"min_onnxruntime": "1.15", "ort": True}, "read by onnxruntime 1.16 and later"),
        ({"batch": 1, "via": "jax"}, "Only tf2onnx fixes the batch"),
        ({"batch": 0}, "batch must be 1 or more"),
        ({"mean": [0.5]}, "mean would be put into the file: add --preprocess"),
        ({"preprocess": True, "std": [0.0]}, "above 0"),
        (
            {"preprocess": True, "layout": "NCHW"},
            "layouts are .*channels_first.*'NCHW'",
        ),
        ({"preprocess": True, "mean": [1, 2, 3]}, "one mean for all channels, or 1"),
        ({"preprocess": True, "data": {"image": np.zeros((1, 12, 12, 1))}}, "must be uint8"),
        ({"allow": ["Einsum"]}, "can be allowed are If, Loop, Scan.*'Einsum'"),
        ({"allow": ["Loop"], "precision": "float16"}, "control flow stays in float32"),
        ({"profile": "phone"}, "profiles are cpu, web, mobile.*'phone'"),
        ({"input_range": (0, 1, 2)}, r"a pair.*\(0, 1, 2\)"),
        ({"input_range": (1, 0)}, "must rise and be finite"),
        ({"input_range": 1.0}, "another type than documented.*float"),
        ({"preprocess": True, "mean": 0.5}, "another type than documented.*float"),
        ({"batch": "dynamic"}, "another type than documented.*'str'"),
        ({"precision": "int8", "data": {}}, "int8 is calibrated on real inputs"),
        ({"data": np.zeros((2, 12, 12, 1))}, "data are a dictionary.*Received: ndarray"),
    ],
)
def test_what_cannot_be_had(saved_capsnet, tmp_path, options, words):
    with pytest.raises(export.UsageError, match=words):
        export.export_onnx(saved_capsnet, tmp_path / "model.onnx", **options)
    assert not list(tmp_path.iterdir())
