"""What runs in a process of its own, see `export.convert`: conversion, references, tracing."""

import argparse
import gc
import importlib
import json
import os
import sys
import threading
from pathlib import Path

import onnx

from export import golden, reference, routes, source, suites, trace
from export.errors import ExportError


def main() -> int:
    """Does what the arguments ask for, and writes down the error if there is one."""
    parser = argparse.ArgumentParser()
    add = parser.add_argument
    add("model", type=Path)
    add("--error", type=Path, required=True)
    add("--via")
    add("--opset", type=int)
    add("--batch", type=int)
    add("--raw", type=Path)
    add("--suites", type=Path)
    add("--references", type=Path)
    add("--vectors", type=Path)
    add("--names", type=Path)
    add("--values", type=Path)
    add("--import", dest="modules", nargs="*", default=[])
    arguments = parser.parse_args()
    threading.Thread(target=_end_with_parent, daemon=True).start()
    for module in arguments.modules:
        importlib.import_module(module)
    try:
        model = source.load_model(arguments.model, str(arguments.model))
        if arguments.via:
            _collect_early()
            raw = routes.convert(model, arguments.opset, arguments.via, arguments.batch)
            onnx.save(raw, arguments.raw)
        if arguments.references:
            inputs = suites.load(arguments.suites)
            references = reference.float64_outputs(model, inputs)
            suites.save_outputs(arguments.references, references)
            golden.save_vectors(arguments.vectors, model, inputs, references)
        if arguments.values:
            (suite,) = suites.load(arguments.suites)
            names = json.loads(arguments.names.read_text())
            suites.save_arrays(arguments.values, trace.tensorflow_values(model, suite, names))
    except ExportError as error:
        content = {"kind": type(error).__name__, "message": str(error)}
        arguments.error.write_text(json.dumps(content))
        return error.exit_code
    return 0


def _collect_early():
    """Makes Python find garbage early from here on, without looking through all imports each time.

    tf2onnx copies the graph and its weights for every optimization, and leaves the copies in
    cycles: of the paper's CapsNet, 20 copies, or 0.6 GiB.
    """
    gc.collect()
    gc.freeze()
    gc.collect()  # From nothing it now counts what has to grow by a quarter before the next time.
    gc.set_threshold(700, 1, 1)


def _end_with_parent():
    os.read(sys.stdin.fileno(), 1)
    os._exit(1)


if __name__ == "__main__":
    sys.exit(main())
