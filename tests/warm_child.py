"""Runs `export.child` again and again in forks of a process that has imported what it needs.

Importing takes most of the time of a conversion. Each line of the standard input is a JSON object
of `arguments` and `environment`; each line of the output is the exit code of a fork.
"""

import json
import os
import sys

import tensorflow  # noqa: F401
import tf2onnx  # noqa: F401

import keras_capsules  # noqa: F401
from export import child

for line in sys.stdin:
    request = json.loads(line)
    process = os.fork()
    if process == 0:
        os.environ.update(request["environment"])
        sys.argv[1:] = request["arguments"]
        os.dup2(os.pipe()[0], sys.stdin.fileno())  # Open, and silent.
        os._exit(child.main())
    print(os.waitstatus_to_exitcode(os.waitpid(process, 0)[1]), flush=True)
