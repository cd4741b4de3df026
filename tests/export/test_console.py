"""The command `keras-capsules` runs each of the commands."""

import importlib
import subprocess
import sys
import tomllib

import pytest
from conftest import ROOT, once

from export import console

pytestmark = once


def test_the_package_has_the_command():
    scripts = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["scripts"]
    module, _, function = scripts["keras-capsules"].partition(":")
    assert getattr(importlib.import_module(module), function) is console.main


@pytest.mark.parametrize("command", console.COMMANDS)
def test_each_command_shows_its_help(command, capsys):
    with pytest.raises(SystemExit) as end:
        console.main([command, "--help"])
    assert end.value.code == 0
    assert "exit codes" in capsys.readouterr().out


@pytest.mark.parametrize("arguments", [[], ["--help"], ["-h"]])
def test_the_help_names_the_commands(arguments, capsys):
    assert console.main(arguments) == 0
    told = capsys.readouterr().out
    assert all(f"  {name} " in told for name in console.COMMANDS)


def test_a_wrong_name_is_an_error(capsys):
    assert console.main(["exprot", "digits.keras"]) == 5
    assert "Received: exprot" in capsys.readouterr().err


def test_a_file_of_the_user_does_not_get_in_the_way(tmp_path):
    """Its folder comes behind the packages, so that `export.py` there is not imported."""
    (tmp_path / "export.py").write_text("raise SystemExit('the wrong file')")
    code = f"import sys; sys.path.insert(0, {str(ROOT)!r}); from export.console import main; "
    program = tmp_path / "keras-capsules"
    program.write_text(code + "sys.exit(main())")
    command = [sys.executable, "-P", program, "verify", "nothing.onnx"]
    done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True)
    assert done.returncode == 5
    assert "nothing.onnx" in done.stderr and "Traceback" not in done.stderr
