"""Runs the export from the command line: `python -m export.to_onnx model.keras -o model.onnx`."""

import argparse
import contextlib
import functools
import importlib
import importlib.util
import os
import shlex
import signal
import sys
import threading
from dataclasses import fields, replace
from pathlib import Path
from typing import Any

from export import (
    ExportOptions,
    ExportReport,
    ParityError,
    UsageError,
    command_line,
    export_onnx,
)
from export.admit import zoo
from export.errors import EXIT_CODES
from export.options import add_to_parser, flag_of, shapes_of
from export.write import Target, check_target


def main(arguments: list[str] | None = None) -> int:
    """Runs the command line, and returns its exit code."""
    return command_line.exit_code_of("export", functools.partial(_export, arguments))


def _export(arguments):
    given = _parser().parse_args(arguments)
    _check_arguments(given)
    with command_line.without_startup_lines():
        command_line.import_modules(given.modules)
        model, options = _model_and_options(given)
        _unwind_when_terminated()
    try:
        report, code = export_onnx(model, given.output, options), 0
    except ParityError as error:
        report, code = error.report, error.exit_code
    command_line.show(report.to_text())
    if given.report is not None:
        arguments = sys.argv[1:] if arguments is None else arguments
        command = shlex.join(["python", "-m", "export.to_onnx", *map(str, arguments)])
        replace(report, command=command).save(given.report, force="force" in given)
    return code


def _parser():
    parser = command_line.Parser(
        "to_onnx",
        "Converts a Keras model to ONNX, and writes the file only if it computes the same as the "
        "model.",
        EXIT_CODES,
        "The ONNX file is written only with 0. With 1, the inputs that show the difference are "
        "stored.",
    )
    add = parser.add_argument
    add("model", metavar="MODEL", nargs="?", help="a file that model.save wrote, model.keras")
    add("--model", dest="name", metavar="NAME", help="instead of a file: one of the zoo's models")
    add("--weights", metavar="NAME", help="with --model: its weights, such as mnist")
    add("-o", "--output", metavar="FILE", required=True, help="the ONNX file to write")
    add_to_parser(parser)
    command_line.add_import(parser)
    add("--report", metavar="FILE", help="save the report as FILE.json or FILE.html as well")
    return parser


def _model_and_options(given: argparse.Namespace) -> tuple[Any, ExportOptions]:
    """Returns the model, or its path, and the options of the export."""
    changes = {o.name: getattr(given, o.name) for o in fields(ExportOptions) if o.name in given}
    for name, read in (("labels", _read_labels), ("data", command_line.read_data)):
        if name in changes:
            changes[name] = read(changes[name])
    if "input_range" in changes:
        changes["input_range"] = tuple(changes["input_range"])
    if "input_shapes" in changes:
        changes["input_shapes"] = shapes_of(changes["input_shapes"])
    if "sizes" in changes:
        changes["sizes"] = dict(changes["sizes"])
    model = given.model
    if given.name is not None:
        outputs, preprocess = changes.get("outputs", ()), changes.get("preprocess", False)
        model, more = zoo.pretrained(given.name, given.weights, outputs, preprocess)
        changes = {"labels": more.pop("labels")} | changes
        taken = [flag_of(key) for key, value in more.items() if changes.get(key, value) != value]
        if taken:
            raise UsageError(
                f"The card of {given.name} says {more}. Leave out {' and '.join(taken)}."
            )
        changes |= more
    return model, ExportOptions(**changes)


def _check_arguments(given: argparse.Namespace) -> None:
    """Refuses, before Keras is imported, paths that cannot be read or written or would be both."""
    if (given.model is None) == (given.name is None):
        raise UsageError("Pass either the file MODEL or --model NAME, one of the zoo.")
    if given.model is not None and given.weights is not None:
        raise UsageError("A file has its weights: pass --weights only with --model NAME.")
    written = {
        os.path.realpath(path) for path in Target(Path(given.output), True, "c" in given).all
    }
    paths = {flag_of(name): getattr(given, name, None) for name in ("labels", "data")}
    paths["MODEL"] = given.model
    read = {os.path.realpath(path) for path in paths.values() if path is not None}
    for name, path in (*paths.items(), ("--report", given.report)):
        taken = written | read if name == "--report" else written
        if path is not None and os.path.realpath(path) in taken:
            raise UsageError(
                f"{name} {path} is another file of this export, or one that it replaces. Choose "
                "another path, there or with -o."
            )
    if given.report is not None:
        ExportReport.check_path(Path(given.report), force="force" in given)
    check_target(Path(given.output), force="force" in given)
    if given.model is not None:
        from export.admit.archive import check_model  # It needs numpy, and --help does not.

        check_model(Path(given.model))


def _read_labels(path: str) -> list[str]:
    if os.path.exists(path) and not os.path.isfile(path):  # Another kind may have no end.
        raise UsageError(f"The labels cannot be read from {path}: it is not a regular file.")
    try:
        return Path(path).read_text(encoding="utf-8-sig").strip().splitlines()
    except (OSError, UnicodeDecodeError) as error:
        raise UsageError(f"The labels cannot be read from {path}: {error}") from error


def _unwind_when_terminated() -> None:
    """Turns SIGTERM into an exception, after which temporary files are removed.

    This starts once everything is imported: until then there are no temporary files, and imports
    swallow exceptions.
    """
    with contextlib.suppress(ModuleNotFoundError):  # export_onnx names the missing package.
        importlib.import_module("export.pipeline")
    if threading.current_thread() is threading.main_thread():
        signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))


if __name__ == "__main__":
    sys.exit(main())
