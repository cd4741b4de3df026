"""Exit codes: one table for all commands, and each command keeps to it."""

import re

import numpy as np
import pytest
from conftest import once

from export import device, doctor, errors, to_onnx, verify
from export.compare import __main__ as compare

pytestmark = once

COMMANDS = {"to_onnx": to_onnx, "device": device, "verify": verify, "compare": compare}
MEANINGS = {1: "something else", 4: "damaged", 5: "a path or an option is wrong"}


def documented(command, capsys):
    with pytest.raises(SystemExit) as end:
        command.main(["--help"])
    assert end.value.code == 0
    text = capsys.readouterr().out.partition("exit codes:\n")[2]
    return {int(code): meaning for code, meaning in re.findall(r"(?m)^  (\d+)  (.+)$", text)}


@pytest.mark.parametrize("name", COMMANDS)
def test_each_command_documents_codes_of_the_table(name, capsys):
    codes = documented(COMMANDS[name], capsys)
    assert {0, 4, 5} <= set(codes) <= set(errors.EXIT_CODES)
    for code, words in MEANINGS.items():
        assert words in errors.EXIT_CODES[code]
        assert words in codes.get(code, words)


def test_the_doctor_documents_its_codes_and_refuses_other_options(capsys):
    codes = documented(doctor, capsys)
    assert codes == {code: errors.EXIT_CODES[code] for code in (0, 2, 5)}
    assert doctor.main(["--colour"]) == 5 and "usage:" in capsys.readouterr().err


def test_the_export_documents_the_whole_table(capsys):
    assert documented(to_onnx, capsys) == errors.EXIT_CODES


def test_each_error_has_a_code_of_the_table():
    kinds = [errors.ParityError, errors.ConversionError, errors.UnsupportedOperationError]
    kinds += [errors.RefusedInputError, errors.UsageError]
    assert set(errors.ExportError.__subclasses__()) == set(kinds)
    assert [kind.exit_code for kind in kinds] == sorted(set(errors.EXIT_CODES) - {0})
    seal = [verify.CannotRunError, verify.SealError, verify.UsageError]
    assert [kind.exit_code for kind in seal] == [1, 4, 5]


@pytest.mark.parametrize("name", COMMANDS)
@pytest.mark.parametrize("arguments", [[], ["--colour"], ["missing"], ["--threads", "many"]])
def test_a_missing_file_and_a_wrong_option(name, arguments, tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    needed = {"to_onnx": ["-o", "model.onnx"], "device": ["image.png"], "compare": ["missing.onnx"]}
    if arguments == ["missing"]:
        arguments = [*arguments, *needed.get(name, [])]
    assert COMMANDS[name].main(arguments) == 5
    assert "missing" in (error := capsys.readouterr().err) or "usage:" in error
    assert list(tmp_path.iterdir()) == []


def test_images_of_the_wrong_shape_are_not_damaged(exported_capsnet, tmp_path, capsys):
    np.save(tmp_path / "wrong.npy", np.zeros((2, 8, 8, 1)))
    assert device.main([str(exported_capsnet[0]), str(tmp_path / "wrong.npy")]) == 5
    assert "(batch, 12, 12, 1)" in capsys.readouterr().err
