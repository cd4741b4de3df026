"""What the command line refuses, and how it ends: exit code, message, and nothing left behind."""

import os
import signal
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest
from conftest import ROOT, command_line, conversion_of, once, run_python

from export import command_line as command_line_tools


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
        ({"--precison": "int8"}, ["--precison", "Did you mean --precision?"]),
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
@pytest.mark.parametrize(
    ("arguments", "code"),
    [("missing.keras -o model.onnx", 5), ("README.md -o model.onnx", 4), ("a -o no/b.onnx", 5)],
)
def test_what_is_cheap_to_check_is_checked_before_keras_is_imported(tmp_path, arguments, code):
    (tmp_path / "keras.py").write_text("raise SystemExit('Keras was imported')")
    command = (
        f"import sys; sys.path.insert(0, {str(tmp_path)!r}); from export import to_onnx; "
        f"sys.exit(to_onnx.main({arguments.split()!r}))"
    )
    result = run_python("-c", command, check=False)
    assert result.returncode == code, result.stderr
    assert result.stderr.startswith("export: ") and "Keras was" not in result.stderr


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


@once
def test_tensorflow_is_silent_as_it_starts(saved_capsnet, tmp_path):
    """What a module of the user's prints stays, and so do all lines if that is asked for."""
    (tmp_path / "mine.py").write_text("import sys; print('mine', file=sys.stderr)")
    arguments = [saved_capsnet, "-o", "model.onnx", "--force", "--import", "mine"]

    def errors(module, level, *arguments):
        environment = {"KERAS_BACKEND": "tensorflow", "TF_CPP_MIN_LOG_LEVEL": level}
        return run_python("-m", module, *arguments, cwd=tmp_path, env=environment).stderr

    assert "absl::InitializeLog" in errors("export.to_onnx", "0", *arguments)
    assert errors("export.to_onnx", "3", *arguments) == "mine\n"
    assert errors("export.compare", "3", saved_capsnet, "model.onnx") == ""


def test_other_lines_are_kept(capfd, monkeypatch):
    monkeypatch.delenv("TF_CPP_MIN_LOG_LEVEL", raising=False)
    monkeypatch.delitem(sys.modules, "tensorflow", raising=False)
    older = b"2026-11-26 10:00:00.123456: I tensorflow/core/util/port.cc:153] oneDNN"
    newer = b"E0000 00:00:1795727367.022276   17307 cuda_platform.cc:52] failed call to cuInit"
    with pytest.raises(KeyError), command_line_tools.without_startup_lines():
        os.write(2, b"\n".join([older, b"F0000 00:00:1 crash", newer, b"of the user\n"]))
        raise KeyError
    assert capfd.readouterr().err == "F0000 00:00:1 crash\nof the user\n"
    assert os.environ["TF_CPP_MIN_LOG_LEVEL"] == "3"
