"""Starts conversions as forks of one process, see `warm_worker.py`."""

import contextlib
import json
import os
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path
from unittest import mock

from export.convert import start

TESTS = Path(__file__).parent


class WarmProcess:
    """The process, which starts with the first conversion under TensorFlow."""

    def __init__(self):
        self.server = None
        self.start_cold = start.start_worker

    @contextlib.contextmanager
    def used(self) -> Iterator[None]:
        """Lets conversions under TensorFlow fork from the process."""
        with mock.patch.object(start, "start_worker", self.start_warm):
            yield

    def start_warm(self, arguments, environment):
        """Does what `start.start_worker` does."""
        if environment["KERAS_BACKEND"] != "tensorflow":
            return self.start_cold(arguments, environment)
        environment = {**os.environ, **environment}
        if self.server is None:
            self.server = subprocess.Popen(
                [sys.executable, TESTS / "warm_worker.py"],
                env=environment | {"PYTHONPATH": os.pathsep.join([str(TESTS.parent), *sys.path])},
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                text=True,
            )
        with tempfile.NamedTemporaryFile("r") as errors:
            request = {"arguments": arguments, "environment": environment, "stderr": errors.name}
            print(json.dumps(request), file=self.server.stdin, flush=True)
            code = int(self.server.stdout.readline())
            return subprocess.CompletedProcess(arguments, code, "", errors.read())

    def close(self) -> None:
        """Ends the process."""
        if self.server is not None:
            self.server.stdin.close()
            self.server.wait()
