"""What an export refuses: exit code, message, and nothing left behind."""

import signal
import subprocess
import sys
import zipfile
from concurrent.futures import ThreadPoolExecutor

import custom_layers
import keras
import numpy as np
import pytest
from conftest import ROOT, command_line, conversion_of, once

import export


def check_refused(result, code, *words, folder, left=()):
    assert result.returncode == code, result.stderr
    message = result.stderr
    assert "Traceback" not in message
    assert message.startswith("export: ") or "\nexport: " in message
    for word in words:
        assert word in message
    assert {path.name for path in folder.iterdir()} == set(left)


@pytest.fixture
def damaged(tmp_path_factory, saved_capsnet):
    """Makes files that are no whole Keras models."""

    def make(kind):
        path = tmp_path_factory.mktemp("damaged") / "model.keras"
        whole = saved_capsnet.read_bytes()
        if kind == "text":
            path.write_text("not a model")
        elif kind == "empty":
            path.write_bytes(b"")
        elif kind == "truncated":
            path.write_bytes(whole[: len(whole) // 2])
        elif kind == "flipped":
            middle = len(whole) // 2
            path.write_bytes(whole[:middle] + bytes([whole[middle] ^ 255]) + whole[middle + 1 :])
        elif kind == "another zip":
            with zipfile.ZipFile(path, "w") as archive:
                archive.writestr("readme.txt", "hello")
        elif kind == "config is a list":
            with zipfile.ZipFile(path, "w") as archive:
                archive.writestr("config.json", "[]")
        elif kind == "no weights":
            with zipfile.ZipFile(saved_capsnet) as old, zipfile.ZipFile(path, "w") as new:
                for name in ("config.json", "metadata.json"):
                    new.writestr(name, old.read(name))
        return path

    return make


@pytest.mark.parametrize(
    "kind",
    ["text", "empty", "truncated", "flipped", "another zip", "config is a list", "no weights"],
)
def test_damaged_files(damaged, tmp_path, kind):
    with pytest.raises(export.RefusedInputError, match="model.keras.*(again|cut short)"):
        export.export_onnx(damaged(kind), tmp_path / "model.onnx")
    assert not list(tmp_path.iterdir())


@once
def test_command_line_refuses_a_damaged_file(damaged, tmp_path):
    result = command_line(damaged("truncated"), "-o", tmp_path / "model.onnx")
    check_refused(result, 4, "cut short", folder=tmp_path)


@once
def test_command_line_refuses_a_lambda(tmp_path_factory, tmp_path):
    source = tmp_path_factory.mktemp("lambda") / "model.keras"
    image = keras.Input((4,))
    doubled = keras.layers.Lambda(lambda x: 2 * x, name="double", output_shape=(4,))(image)
    keras.Model(image, doubled).save(source)
    result = command_line(source, "-o", tmp_path / "model.onnx")
    check_refused(result, 4, "'double'", "Lambda", "register_keras", folder=tmp_path)


def test_a_lambda_as_activation_is_refused(tmp_path):
    model = keras.Sequential([keras.Input((4,)), keras.layers.Dense(2, activation=lambda x: 2 * x)])
    with pytest.raises(export.RefusedInputError, match="layer 'dense.*lambda"):
        export.export_onnx(model, tmp_path / "model.onnx")


class Unregistered(keras.layers.Layer):
    def call(self, inputs):
        return 2 * inputs


@once
def test_command_line_refuses_an_unregistered_class(tmp_path_factory, tmp_path):
    source = tmp_path_factory.mktemp("unregistered") / "model.keras"
    keras.Sequential([keras.Input((4,)), Unregistered(name="mine")]).save(source)
    result = command_line(source, "-o", tmp_path / "model.onnx")
    check_refused(result, 4, "'mine'", "'Unregistered'", "register_keras", folder=tmp_path)


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"model": "missing.keras"}, ["no file", "missing.keras"]),
        ({"model": "."}, ["folder"]),
        ({"-o": "missing/model.onnx"}, ["missing", "does not exist"]),
        ({"-o": "."}, ["folder"]),
        ({"-o": "old.onnx"}, ["old.onnx exists", "--force"]),
        ({"--opset": "12"}, ["from 13 to 18", "12"]),
        ({"--opset": "19"}, ["from 13 to 18", "19"]),
        ({"--opset": "many"}, ["many", "usage:"]),
        ({"-o": "MODEL"}, ["MODEL", "another file of this export"]),
        ({"--labels": "old.onnx", "-o": "old.onnx --force"}, ["--labels old.onnx is another file"]),
        ({"--data": "old.onnx", "-o": "old.onnx --force"}, ["--data old.onnx is another file"]),
        ({"--data": "new.ort", "-o": "new.onnx --force"}, ["--data new.ort is another file"]),
        ({"--labels": "a.json", "--report": "a.json"}, ["--report a.json is another file"]),
        ({"--report": "model.onnx"}, ["model.onnx is another file"]),
        ({"--report": "model.onnx.golden.npz"}, ["golden.npz is another file"]),
        ({"--report": "report.txt"}, ["JSON or HTML", "report.txt"]),
        ({"--input-range": "0 inf"}, ["finite"]),
        ({"--labels": "three.txt"}, ["4 columns", "3 labels"]),
        ({"--labels": "missing.txt"}, ["missing.txt"]),
        ({"--report": "missing/report.json"}, ["missing", "does not exist"]),
        ({"--data": "old.onnx"}, ["numpy.savez"]),
        ({"--data": "wrong.npz"}, ["image", "(12, 12, 1)", "(2, 8, 8, 1)"]),
        ({"--input-range": "1 0"}, ["rise"]),
        ({"--colour": "red"}, ["--colour", "usage:"]),
    ],
)
def test_usage_errors(saved_capsnet, tmp_path, monkeypatch, capsys, change, words):
    """In this process, for speed: the command line is one function."""
    from export.to_onnx import main

    monkeypatch.chdir(tmp_path)
    (tmp_path / "old.onnx").write_bytes(b"old")
    (tmp_path / "three.txt").write_text("a\nb\nc\n")
    np.savez(tmp_path / "wrong.npz", image=np.zeros((2, 8, 8, 1)))
    before = sorted(path.name for path in tmp_path.iterdir())
    options = {"model": str(saved_capsnet), "-o": "model.onnx", **change}
    if options["-o"] == "MODEL":
        options |= {"-o": options["model"] + " --force"}
    arguments = [options.pop("model")]
    for name, value in options.items():
        arguments += [name, *value.split()]
    handler = signal.getsignal(signal.SIGTERM)
    try:
        assert main(arguments) == 5
    finally:
        signal.signal(signal.SIGTERM, handler)
    error = capsys.readouterr().err
    assert error.startswith("export: ")
    for word in words:
        assert word in error
    assert sorted(path.name for path in tmp_path.iterdir()) == before
    assert (tmp_path / "old.onnx").read_bytes() == b"old"


@once
def test_the_command_line_in_a_thread(tmp_path, capsys):
    """Where Python allows no handler of signals."""
    from export.to_onnx import main

    arguments = [str(tmp_path / "missing.keras"), "-o", str(tmp_path / "model.onnx")]
    with ThreadPoolExecutor() as threads:
        assert threads.submit(main, arguments).result() == 5
    assert "no file" in capsys.readouterr().err


@once
def test_command_line_without_arguments():
    result = command_line()
    assert result.returncode == 5 and "usage:" in result.stderr
    assert "exit codes" in command_line("--help").stdout


@pytest.mark.parametrize(
    ("model", "message"),
    [
        (lambda: keras.Sequential([keras.layers.Dense(2)]), "without inputs"),
        (
            lambda: keras.Sequential([keras.Input((None, 4)), keras.layers.Dense(2)]),
            "Only the batch axis",
        ),
        (
            lambda: keras.Sequential(
                [keras.Input((4,)), keras.layers.Dense(2, dtype="mixed_float16")]
            ),
            "compute in float32",
        ),
    ],
)
def test_models_that_cannot_be_converted(tmp_path, model, message):
    with pytest.raises(export.ConversionError, match=message):
        export.export_onnx(model(), tmp_path / "model.onnx")
    assert not list(tmp_path.iterdir())


def test_names_and_shapes_that_a_file_cannot_have(tmp_path):
    image = keras.Input((4,), name="image")
    dense = keras.layers.Dense(3)
    for outputs, message in (
        ({"image": dense(image)}, "names of inputs and outputs must differ"),
        ({"größe": dense(image)}, "without accents"),
        (keras.ops.sum(dense(image)), "keep the batch axis"),
    ):
        with pytest.raises(export.ConversionError, match=message):
            export.export_onnx(keras.Model(image, outputs), tmp_path / "model.onnx")
    with pytest.raises(export.UsageError, match="Received: Dense"):
        export.export_onnx(dense, tmp_path / "model.onnx")
    inner = keras.Sequential([keras.Input((4,)), keras.layers.Dense(2, dtype="mixed_float16")])
    with pytest.raises(export.ConversionError, match="compute in float32"):
        export.export_onnx(keras.Model(image, inner(image)), tmp_path / "model.onnx")
    assert not list(tmp_path.iterdir())


@once
def test_control_flow_is_an_unsupported_operation(tmp_path):
    model = keras.Sequential([keras.Input((4,)), custom_layers.Looping(name="loop")])
    with pytest.raises(export.UnsupportedOperationError, match="Loop.*Replace") as caught:
        export.export_onnx(model, tmp_path / "model.onnx")
    assert caught.value.exit_code == 3 and not list(tmp_path.iterdir())


@once
def test_a_registered_class_of_the_users_own(tmp_path):
    model = keras.Sequential([keras.Input((4,)), custom_layers.ShiftedInConversion()])
    assert export.export_onnx(model, tmp_path / "model.onnx").passed


@once
@pytest.mark.parametrize("kill", [signal.SIGTERM, signal.SIGINT])
def test_a_killed_export_leaves_the_old_file(saved_capsnet, tmp_path, kill):
    target = tmp_path / "model.onnx"
    target.write_bytes(b"old")
    process = subprocess.Popen(
        [sys.executable, "-m", "export.to_onnx", saved_capsnet, "-o", target, "--force"],
        cwd=ROOT,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.PIPE,
        # Where the tests run in the background, a shell may have it ignored.
        preexec_fn=lambda: signal.signal(signal.SIGINT, signal.SIG_DFL),
    )
    conversion_of(process)
    process.send_signal(kill)
    assert process.wait(60) == {signal.SIGTERM: 143, signal.SIGINT: 130}[kill]
    assert b"Traceback" not in process.stderr.read()
    assert target.read_bytes() == b"old" and list(tmp_path.iterdir()) == [target]
