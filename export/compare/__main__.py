"""Compares a model with a file from the command line: `python -m export.compare`."""

import functools
import importlib
import sys
from pathlib import Path

from export import ExportReport, command_line, compare


def main(arguments: list[str] | None = None) -> int:
    """Runs the command line, and returns its exit code."""
    return command_line.exit_code_of("compare", functools.partial(_compare, arguments))


def _compare(arguments):
    given = _parser().parse_args(arguments)
    if given.report is not None:
        ExportReport.check_path(Path(given.report), given.force)
    with command_line.without_startup_lines():
        command_line.import_modules(given.modules)
        importlib.import_module("export.any_file")
    data = None if given.data is None else command_line.read_data(given.data)
    span = given.input_range and tuple(given.input_range)
    report = compare(given.model, given.file, data, span)  # pyright: ignore[reportCallIssue]
    command_line.show(report.to_text())
    if given.report is not None:
        report.save(given.report, given.force)
    return 0 if report.passed else 1


def _parser():
    description = "Says whether an ONNX file, of any exporter, computes what a Keras model does."
    parser = command_line.Parser("compare", description, codes=(0, 1, 2, 4, 5))
    add = parser.add_argument
    add("model", metavar="MODEL", help="a file that model.save wrote, model.keras")
    add("file", metavar="FILE", help="the ONNX file")
    add("--data", metavar="FILE", help="real inputs, an .npz file of arrays by input name")
    add("--input-range", type=float, nargs=2, metavar=("LOW", "HIGH"))
    add("--report", metavar="FILE", help="save the report as FILE.json or FILE.html as well")
    add("--force", action="store_true", help="replace an existing report")
    command_line.add_import(parser)
    return parser


if __name__ == "__main__":
    sys.exit(main())
