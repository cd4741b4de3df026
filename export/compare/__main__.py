"""Compares a model with a file from the command line: `python -m export.compare`."""

import argparse
import sys
from pathlib import Path

from export import ExportError, ExportReport, command_line, compare
from export.errors import EXIT_CODES


def main(arguments: list[str] | None = None) -> int:
    """Runs the command line, and returns its exit code."""
    codes = "\n".join(f"  {code}  {EXIT_CODES[code]}" for code in (0, 1, 2, 4, 5))
    parser = command_line.Parser(
        prog="python -m export.compare",
        description="Says whether an ONNX file, of any exporter, computes what a Keras model does.",
        epilog=f"exit codes:\n{codes}",
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    add = parser.add_argument
    add("model", metavar="MODEL", help="a file that model.save wrote, model.keras")
    add("file", metavar="FILE", help="the ONNX file")
    add("--data", metavar="FILE", help="real inputs, an .npz file of arrays by input name")
    add("--input-range", type=float, nargs=2, metavar=("LOW", "HIGH"))
    add("--report", metavar="FILE", help="save the report as FILE.json or FILE.html as well")
    command_line.add_import(parser)
    try:
        given = parser.parse_args(arguments)
        if given.report is not None:
            ExportReport.check_path(Path(given.report))
        command_line.import_modules(given.modules)
        data = None if given.data is None else command_line.read_data(given.data)
        span = given.input_range and tuple(given.input_range)
        report = compare(given.model, given.file, data, span)  # pyright: ignore[reportCallIssue]
        print(report.to_text())
        if given.report is not None:
            report.save(given.report)
    except ExportError as error:
        print(f"compare: {error}", file=sys.stderr)
        return error.exit_code
    return 0 if report.passed else 1


if __name__ == "__main__":
    sys.exit(main())
