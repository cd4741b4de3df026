"""The progress of a long export, on a terminal alone."""

import os
import pty
import subprocess
import sys

from conftest import ROOT, once

pytestmark = once

CODE = """
import time
from export import progress
with progress.shown(steps=2) as begin:
    begin("reading")
    time.sleep({seconds})
    begin("comparing")
    time.sleep({seconds})
"""


def shown_by(seconds, terminal):
    """Returns what a process writes to its standard error."""
    reader, writer = pty.openpty() if terminal else os.pipe()
    environment = {**os.environ, "PYTHONPATH": str(ROOT), "TERM": "xterm"}
    command = [sys.executable, "-c", CODE.format(seconds=seconds)]
    subprocess.run(command, stderr=writer, env=environment, check=True, cwd=ROOT)
    os.set_blocking(reader, False)
    os.close(writer)
    try:
        return os.read(reader, 1 << 16).decode()
    except OSError:  # A terminal that is closed and empty.
        return ""
    finally:
        os.close(reader)


def test_only_a_long_export_on_a_terminal_shows_its_steps():
    assert "comparing" in shown_by(1.2, terminal=True)
    assert "reading" not in shown_by(0.1, terminal=True)
    assert shown_by(1.2, terminal=False) == ""
