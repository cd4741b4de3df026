"""Runs `export.convert.worker` in forks of one process, which has imported what it needs.

Importing takes most of the time of a conversion. Each line of the standard input is a JSON object
of `arguments`, `environment` and `stderr`, the path of a file for the fork's standard error; each
line of the output is the exit code of a fork.
"""

import json
import os
import sys

import tensorflow  # noqa: F401
import tf2onnx  # noqa: F401

import keras_capsules  # noqa: F401
from export.convert import worker

for line in sys.stdin:
    request = json.loads(line)
    process = os.fork()
    if process == 0:
        os.environ.update(request["environment"])
        sys.argv[1:] = request["arguments"]
        os.dup2(os.pipe()[0], sys.stdin.fileno())  # Open, and silent.
        os.dup2(os.open(request["stderr"], os.O_WRONLY), sys.stderr.fileno())
        os._exit(worker.main())
    print(os.waitstatus_to_exitcode(os.waitpid(process, 0)[1]), flush=True)
