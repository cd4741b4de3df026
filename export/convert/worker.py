"""Runs in the worker, which `export.convert.start` starts: conversion, references, tracing."""

import argparse
import contextlib
import gc
import json
import os
import sys
import threading
from pathlib import Path

import keras
import onnx

from export.admit import custom_objects
from export.admit.load import load_model
from export.compare import seal
from export.convert import exchange, patches
from export.convert.reference import begin_float64
from export.convert.routes import to_raw_graph
from export.convert.trace import tensorflow_values
from export.errors import ConversionError, ExportError, RefusedInputError, in_words


def main() -> int:
    """Runs the command of the arguments, and stores the error if there is one."""
    arguments = _parser().parse_args()
    threading.Thread(target=_end_with_parent, daemon=True).start()
    try:
        with contextlib.ExitStack() as stack:
            if keras.backend.backend() == "tensorflow":
                stack.enter_context(patches.convolutions_on_cpus())
                if arguments.model_backend != "tensorflow":
                    stack.enter_context(patches.sums_of_other_backends())
            _work(arguments)
    except Exception as error:  # A layer of the model may raise any class.
        known = isinstance(error, ExportError)
        text = f"The model fails in the process of the conversion. {in_words(error)}"
        failure = error if known else ConversionError(text)
        content = {"kind": type(failure).__name__, "message": str(failure)}
        arguments.error.write_text(json.dumps(content))
        return failure.exit_code
    return 0


def _parser():
    parser = argparse.ArgumentParser()
    add = parser.add_argument
    add("model", type=Path)
    add("--error", type=Path, required=True)
    add("--model-backend", required=True)
    add("--via")
    add("--opset", type=int)
    add("--batch", type=int)
    add("--raw", type=Path)
    add("--suites", type=Path)
    add("--references", type=Path)
    add("--vectors", type=Path)
    add("--names", type=Path)
    add("--values", type=Path)
    return parser


def _work(arguments):
    custom_objects.register(arguments.model)
    try:
        model = load_model(arguments.model, "The model")
    except RefusedInputError as error:  # The process that asks has loaded it.
        backend, own = keras.backend.backend(), arguments.model_backend
        raise ConversionError(
            f"The model does not load under {backend}, where it is converted. Layers must compute "
            f"with keras.ops, and not with {own} itself. ({in_words(error.__cause__ or error)})"
        ) from error
    suites = exchange.load_suites(arguments.suites) if arguments.suites else []
    if arguments.references:
        references_of = begin_float64(model, suites)  # They are computed beside the conversion.
    if arguments.via:
        _collect_early()
        raw = to_raw_graph(model, arguments.opset, arguments.via, arguments.batch)
        onnx.save(raw, arguments.raw)
    if arguments.references:
        references = references_of()
        # The process that asks takes what is complete, and does not wait for the end of this one.
        exchange.save_outputs(arguments.suites, references)
        arguments.suites.replace(arguments.references)
        arguments.vectors.write_bytes(seal.vectors(model, suites, references))
    if arguments.values:
        names = json.loads(arguments.names.read_text())
        exchange.save_arrays(arguments.values, tensorflow_values(model, suites[0], names))


def _collect_early():
    """Makes Python collect garbage early from now on, without scanning all imports each time.

    tf2onnx copies the graph and its weights for every optimization, and leaves the copies in
    reference cycles. For the paper's CapsNet these are 20 copies, or 0.6 GiB.
    """
    gc.collect()
    gc.freeze()
    gc.collect()  # Resets the object count that must grow by a quarter before the next one.
    gc.set_threshold(700, 1, 1)


def _end_with_parent():
    os.read(sys.stdin.fileno(), 1)
    os._exit(1)


if __name__ == "__main__":
    code = main()
    sys.stderr.flush()
    os._exit(code)  # TensorFlow takes a second to tear down.
