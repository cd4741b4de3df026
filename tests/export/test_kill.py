"""Kill -9 at every stage of an export: the target is the old file or the whole new one."""

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

from conftest import ROOT, conversion_of, once, run_python

from export.write import ort_paths

pytestmark = once

# Exports argv[1] to argv[2]. Each stage begins with a copy of the process that is killed there,
# and the stages of writing are gone through by copies that are killed on the way. Prints what the
# target held after each: the old file, the new one, or something else.
EXPORT = """
import json, os, signal, sys, tempfile
from pathlib import Path
import export
from export import pipeline
from export.admit import load

target, found = Path(sys.argv[2]), {}

def kill(*arguments, **options):
    os.kill(os.getpid(), signal.SIGKILL)

def copy_is_killed(stage, action, new=None):
    process = os.fork()
    if process == 0:
        action()
        os._exit(1)
    assert os.WTERMSIG(os.waitpid(process, 0)[1]) == signal.SIGKILL, stage
    found[stage] = {b"old": "old", new: "new"}.get(target.read_bytes(), "partial")

def kill_at_entry(stage, module, name):
    function = getattr(module, name)
    def wrapped(*arguments, **options):
        copy_is_killed(stage, kill)
        return function(*arguments, **options)
    setattr(module, name, wrapped)

def half_written(*arguments, **options):
    file = temporary_file(*arguments, **options)
    write = file.write
    file.write = lambda content: (write(content[: len(content) // 2]), file.flush(), kill())
    return file

def kill_while_writing(files, derived):
    for stage, module, name, replacement in (
        ("half written", tempfile, "NamedTemporaryFile", half_written),
        ("written", os, "fsync", kill),
        ("on the disk", os, "chmod", kill),
        ("before the replacement", os, "replace", kill),
        ("replaced", os, "replace", lambda *paths: (replace(*paths), kill())),
    ):
        def write():
            setattr(module, name, replacement)
            write_together(files, derived)
        copy_is_killed(stage, write, new=files[target])
    write_together(files, derived)

temporary_file, replace = tempfile.NamedTemporaryFile, os.replace
write_together = pipeline.write_together
pipeline.write_together = kill_while_writing
kill_at_entry("reading", load, "unpack")
kill_at_entry("loading", load, "load_model")
kill_at_entry("converting", pipeline, "convert")
kill_at_entry("naming", pipeline, "to_canonical")
kill_at_entry("comparing", pipeline, "compare_cases")
kill_at_entry("sealing", pipeline, "seal")
assert export.export_onnx(sys.argv[1], target, force=True).passed
print(json.dumps(found))
"""


def test_at_each_stage(saved_capsnet, tmp_path):
    target = tmp_path / "model.onnx"
    target.write_bytes(b"old")
    copies = ort_paths(target)
    for copy in copies:
        copy.write_bytes(b"old")
    found = json.loads(run_python("-c", EXPORT, saved_capsnet, target).stdout)
    assert found.pop("replaced") == "new"
    assert len(found) == 10 and set(found.values()) == {"old"}
    assert not any(copy.exists() for copy in copies)  # They would not belong to the new file.


def test_the_conversion_ends_with_the_process_that_started_it(saved_capsnet, tmp_path):
    target = tmp_path / "model.onnx"
    target.write_bytes(b"old")
    process = subprocess.Popen(
        [sys.executable, "-m", "export.to_onnx", saved_capsnet, "-o", target, "--force"],
        cwd=ROOT,
        env={**os.environ, "TMPDIR": str(tmp_path)},  # What it leaves of temporary folders.
        stderr=subprocess.DEVNULL,
    )
    child = conversion_of(process)
    time.sleep(1)  # Until it is busy.
    process.send_signal(signal.SIGKILL)
    process.wait()
    deadline = time.monotonic() + 60
    while time.monotonic() < deadline and is_alive(child):
        time.sleep(0.05)
    assert not is_alive(child)
    assert target.read_bytes() == b"old"


def is_alive(process):
    """Whether it still runs; one that ended may wait for somebody to ask how."""
    try:
        status = Path(f"/proc/{process}/stat").read_text()
    except (FileNotFoundError, ProcessLookupError):
        return False
    return status.rpartition(")")[2].split()[0] != "Z"
