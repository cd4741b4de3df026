"""The target is the old file or the new one, whatever goes wrong."""

import errno
import os
import stat
import threading

import pytest
from conftest import run_python

import export
from export import UsageError, to_onnx
from export.write import write_atomically, write_together

INTERRUPTED = """
import os, signal, sys
from pathlib import Path
from export.write import write_atomically
setattr(os, sys.argv[2], lambda *arguments: os.kill(os.getpid(), signal.SIGKILL))
write_atomically(Path(sys.argv[1]), b"new")
"""

FULL = """
import resource, sys
from pathlib import Path
from export import UsageError
from export.write import write_atomically
resource.setrlimit(resource.RLIMIT_FSIZE, (1000, 1000))
try:
    write_atomically(Path(sys.argv[1]), b"new" * 1000)
except UsageError as error:
    print(error)
"""


@pytest.fixture
def target(tmp_path):
    path = tmp_path / "model.onnx"
    path.write_bytes(b"old")
    return path


@pytest.mark.parametrize("step", ["fsync", "chmod", "replace"])
def test_kill_9_at_each_step(target, step):
    assert run_python("-c", INTERRUPTED, target, step, check=False).returncode == -9
    assert target.read_bytes() == b"old"


def test_no_room_left(target):
    assert "cannot be written" in run_python("-c", FULL, target).stdout
    assert target.read_bytes() == b"old" and list(target.parent.iterdir()) == [target]


@pytest.mark.parametrize("step", ["fsync", "replace"])
def test_errors_of_the_disk(target, monkeypatch, step):
    def fail(*arguments):
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr(os, step, fail)
    with pytest.raises(UsageError, match="No space left.*unchanged"):
        write_atomically(target, b"new")
    assert target.read_bytes() == b"old" and list(target.parent.iterdir()) == [target]


def test_kill_9_between_two_files(target):
    """The second is still the old one then, which `export.verify` tells by the digest in it."""
    code = """
import os, signal, sys
from pathlib import Path
from export.write import write_together
replace = os.replace
os.replace = lambda *names: (replace(*names), os.kill(os.getpid(), signal.SIGKILL))
write_together({Path(path): b"new" for path in sys.argv[1:]})
"""
    golden = target.with_name("model.onnx.golden.npz")
    golden.write_bytes(b"old")
    assert run_python("-c", code, target, golden, check=False).returncode == -9
    assert target.read_bytes() == b"new" and golden.read_bytes() == b"old"


def test_no_room_left_for_the_second_file(target, monkeypatch):
    fsync, calls = os.fsync, []

    def fail_second(number):
        calls.append(number)
        if len(calls) == 2:
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        fsync(number)

    monkeypatch.setattr(os, "fsync", fail_second)
    with pytest.raises(UsageError, match="unchanged"):
        write_together({target.with_name("golden"): b"new", target: b"new"})
    assert target.read_bytes() == b"old" and list(target.parent.iterdir()) == [target]


def test_what_a_killed_writer_left_is_removed_once_it_is_old(target, tmp_path):
    leftovers = [tmp_path / f".{name}.abcd123_.tmp" for name in ("model.onnx", "other.onnx")]
    alive = tmp_path / ".model.onnx.defg456_.tmp"
    for path in (*leftovers, alive):
        path.touch()
    for path in leftovers:
        os.utime(path, (0, 0))
    write_atomically(target, b"new")
    assert set(tmp_path.iterdir()) == {target, alive, leftovers[1]}


def test_many_writers_at_a_time(target):
    """Readers see one of them, whole, at any time."""
    contents = [bytes([letter]) * 1_000_000 for letter in range(8)]
    threads = [
        threading.Thread(target=write_atomically, args=(target, content))
        for content in contents * 4
    ]
    for thread in threads:
        thread.start()
    while any(thread.is_alive() for thread in threads):
        assert target.read_bytes() in (b"old", *contents)
    assert target.read_bytes() in contents and list(target.parent.iterdir()) == [target]


def test_new_file_link_and_permissions(target, tmp_path):
    write_atomically(tmp_path / "other.onnx", b"new")
    reference = tmp_path / "reference"
    reference.touch()
    assert stat.S_IMODE((tmp_path / "other.onnx").stat().st_mode) == stat.S_IMODE(
        reference.stat().st_mode
    )
    target.chmod(0o640)
    link = tmp_path / "link.onnx"
    link.symlink_to(target)
    write_atomically(link, b"new")
    assert link.is_symlink() and target.read_bytes() == b"new"
    assert stat.S_IMODE(target.stat().st_mode) == 0o640


@pytest.mark.parametrize("failing", [0, 1, 2])
def test_no_old_copy_stands_beside_a_new_file(tmp_path, monkeypatch, failing):
    paths = [tmp_path / name for name in ("model.onnx", "model.ort", "model.config")]
    for path in paths:
        path.write_bytes(b"old")
    replace, calls = os.replace, []

    def fail(source, target):
        calls.append(target)
        if len(calls) == failing + 1:
            raise OSError(28, "No space left on device")
        replace(source, target)

    monkeypatch.setattr(os, "replace", fail)
    with pytest.raises(export.UsageError, match=f"{paths[failing].name} cannot be written"):
        write_together(dict.fromkeys(paths, b"new"), derived=paths[1:])
    found = {path.name: path.read_bytes() for path in tmp_path.iterdir()}
    assert found == {"model.onnx": b"old"} if failing == 0 else set(found.values()) == {b"new"}
    assert len(found) == max(failing, 1)


def test_no_room_for_the_copy_leaves_all_as_it_was(tmp_path, monkeypatch):
    paths = [tmp_path / "model.onnx", tmp_path / "model.ort"]
    for path in paths:
        path.write_bytes(b"old")
    fsync, calls = os.fsync, []

    def fail(file):
        calls.append(file)
        if len(calls) == 2:
            raise OSError(28, "No space left on device")
        fsync(file)

    monkeypatch.setattr(os, "fsync", fail)
    with pytest.raises(export.UsageError, match="model.ort cannot be written.*unchanged"):
        write_together(dict.fromkeys(paths, b"new"), derived=paths[1:])
    assert [path.read_bytes() for path in paths] == [b"old", b"old"]
    assert sorted(tmp_path.iterdir()) == paths


def test_only_regular_files_are_written(tmp_path, capsys):
    os.mkfifo(tmp_path / "pipe.json")
    (tmp_path / "link.json").symlink_to(tmp_path / "pipe.json")
    (tmp_path / "loop.json").symlink_to(tmp_path / "loop.json")
    (tmp_path / "around.json").symlink_to(tmp_path / "loop.json")
    for name in ("pipe.json", "link.json"):
        with pytest.raises(UsageError, match="not a regular file"):
            write_atomically(tmp_path / name, b"new")
    names = ["pipe.json", "link.json", "loop.json", "around.json", "n" * 245 + ".json"]
    for path in (*(str(tmp_path / name) for name in names), "/dev/null", "/dev/full"):
        others = [str(tmp_path / "missing.keras"), "--force"]
        assert to_onnx.main([*others, "-o", path]) == 5
        error = capsys.readouterr().err
        assert path[:60] in error or "not a regular file" in error
        if path.endswith(".json"):
            output = str(tmp_path / "model.onnx")
            assert to_onnx.main([*others, "-o", output, "--report", path]) == 5
            assert "missing.keras" not in capsys.readouterr().err
    assert stat.S_ISFIFO((tmp_path / "pipe.json").stat().st_mode)


def test_a_report_is_replaced_by_force_only(tmp_path, capsys):
    (tmp_path / "report.json").write_text("old")
    (tmp_path / "link.json").symlink_to(tmp_path / "report.json")
    for name in ("report.json", "link.json"):
        arguments = [tmp_path / "a.keras", "-o", tmp_path / "a.onnx", "--report", tmp_path / name]
        assert to_onnx.main(list(map(str, arguments))) == 5
        assert "report.json exists. Pass --force" in capsys.readouterr().err
        assert to_onnx.main([*map(str, arguments), "--force"]) == 5
        assert "There is no file" in capsys.readouterr().err
