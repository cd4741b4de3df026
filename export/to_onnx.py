"""The command line of the export: `python -m export.to_onnx model.keras -o model.onnx`."""

import argparse
import contextlib
import importlib
import importlib.util
import shlex
import signal
import sys
import threading
from pathlib import Path

from export import ExportError, ParityError, UsageError, export_onnx, zoo
from export.options import LAYOUTS, ORT_SUFFIXES, PROFILES, ROUTES
from export.write import check_target, write_atomically

_EXIT_CODES = """
exit codes:
  0  written and verified
  1  the file computes something else than the model, or loses too much accuracy
  2  the conversion failed
  3  the model needs an operation that the file may not hold
  4  a file is damaged, or unsafe: it brings code along, leads elsewhere, or is a bomb
  5  a path or an option is wrong
The ONNX file is written only with 0. With 1, the inputs that show the difference are stored.
"""


def main(arguments: list[str] | None = None) -> int:
    """Runs the command line, and returns its exit code."""
    try:
        options = _parser().parse_args(arguments)
        zoo.resolve(options)
        _check_paths(options)
        _unwind_when_terminated()
        report, code = _export(options)
        print(report.to_text())
        _write_report(options.report, report, arguments)
        return code
    except ExportError as error:
        print(f"export: {error}", file=sys.stderr)
        return error.exit_code
    except KeyboardInterrupt:
        print("export: interrupted, nothing was written", file=sys.stderr)
        return 130


def _export(options):
    """Returns the report, also where parity fails, and the exit code."""
    try:
        report = export_onnx(
            options.model,
            options.output,
            opset=options.opset,
            via=options.via,
            outputs=options.outputs,
            labels=_read_labels(options.labels),
            data=_read_data(options.data),
            input_range=tuple(options.input_range),
            precision=options.precision,
            max_drop=options.max_drop,
            force=options.force,
            min_onnxruntime=options.min_onnxruntime,
            batch=options.batch,
            preprocess=options.preprocess,
            mean=options.mean,
            std=options.std,
            layout=options.layout,
            ort=options.ort,
            profile=options.profile,
        )
    except ParityError as error:
        return error.report, error.exit_code
    return report, 0


def _unwind_when_terminated():
    """Turns SIGTERM into an exception, so that temporary files are removed.

    Only once everything is imported: until then there are none, and imports swallow exceptions.
    """
    with contextlib.suppress(ModuleNotFoundError):  # export_onnx says which, and how to get it.
        importlib.import_module("export.pipeline")
    if threading.current_thread() is threading.main_thread():
        signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))


class _Parser(argparse.ArgumentParser):
    def error(self, message):
        raise UsageError(f"{message}\n{self.format_usage().strip()}")


def _parser():
    parser = _Parser(
        prog="python -m export.to_onnx",
        description="Converts a Keras model to ONNX, and writes the file only if it computes the "
        "same as the model.",
        epilog=_EXIT_CODES,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    add = parser.add_argument
    add("model", metavar="MODEL", nargs="?", help="a file that model.save wrote, model.keras")
    add("--model", dest="name", metavar="NAME", help="instead of a file: one of the zoo's models")
    add("--weights", metavar="NAME", help="with --model: its weights, such as mnist")
    add("-o", "--output", metavar="FILE", required=True, help="the ONNX file to write")
    add("--opset", type=int, metavar="N", help="from 13 to 18 (default: 17)")
    add("--min-onnxruntime", metavar="1.X", help="the oldest onnxruntime that must run the file")
    add(
        "--batch",
        type=_batch,
        metavar="N",
        help="the only size of batches, for a file without open axes; or dynamic (default)",
    )
    add("--via", default="tf2onnx", metavar="ROUTE", help=f"{', '.join(ROUTES)} (default: tf2onnx)")
    add(
        "--outputs",
        type=lambda text: text.split(","),
        metavar="NAMES",
        help="what the file returns, with commas: scores, poses, activations, coupling, "
        "map, reconstruction, gates (default: what the model returns)",
    )
    add("--labels", metavar="FILE", help="a text file, one class name a line, stored in the file")
    add("--data", metavar="FILE", help="an .npz file of real inputs, to compare on as well")
    add(
        "--input-range",
        type=float,
        nargs=2,
        default=(0.0, 1.0),
        metavar=("LOW", "HIGH"),
        help="the inputs that a black and a white pixel become, stored in the file (default: 0 1)",
    )
    add("--preprocess", action="store_true", help="take raw uint8 pixels; bake in what follows:")
    add("--mean", type=float, nargs="+", metavar="M", help="subtract, one value or one per channel")
    add("--std", type=float, nargs="+", metavar="S", help="divide by, one value or one per channel")
    add("--layout", choices=LAYOUTS, help="of the pixels (default: channels_last)")
    add("--ort", action="store_true", help="write FILE as .ort too, with its list of operators")
    add("--profile", choices=PROFILES, help="report what the providers there leave to the CPU")
    add(
        "--precision",
        default="float32",
        metavar="NAME",
        help="float32, float16, or int8, calibrated on a part of the data (default: float32)",
    )
    add(
        "--max-drop",
        type=float,
        default=0.5,
        metavar="POINTS",
        help="accuracy that float16 or int8 may lose, in percentage points, on the data and its "
        "array 'labels'; without them, labels that may differ from the model's (default: 0.5)",
    )
    add(
        "--report",
        metavar="FILE",
        help="write the report to FILE.json or FILE.html too, also when parity fails",
    )
    add(
        "--force",
        action="store_true",
        help="replace FILE if it exists, and remove its old .ort file",
    )
    return parser


def _batch(text):
    if text != "dynamic" and not text.isdecimal():
        raise argparse.ArgumentTypeError(f"a number or 'dynamic' is needed, not {text!r}")
    return None if text == "dynamic" else int(text)


def _check_paths(options):
    """Raises a `UsageError` where a file would be read and written, or written twice."""
    output = Path(options.output)
    written = {output, Path(f"{output}.golden.npz")}
    written |= {output.parent / f"{output.stem}{suffix}" for suffix in ORT_SUFFIXES}
    read = {"--labels": options.labels, "--data": options.data}
    read |= {"MODEL": options.model} if options.name is None else {}
    for paths in (read, {"--report": options.report}):
        resolved = {path.resolve() for path in written}
        for name, path in paths.items():
            if path is not None and Path(path).resolve() in resolved:
                raise UsageError(
                    f"{name} {path} is another file of this export, or one that it replaces. Name "
                    "another one, there or with -o."
                )
        written |= {Path(path) for path in paths.values() if path is not None}
    if options.report is not None:
        _check_report(options)


def _check_report(options):
    check_target(Path(options.report), force=True)
    suffix = Path(options.report).suffix
    if suffix not in (".json", ".html"):
        raise UsageError(
            f"A report is JSON or HTML, by its name. Received: --report {options.report}"
        )
    if suffix == ".html" and importlib.util.find_spec("jinja2") is None:
        raise UsageError(
            "A report as HTML needs the package jinja2: pip install 'keras-capsules[export]'"
        )


def _read_labels(path):
    if path is None:
        return None
    try:
        return Path(path).read_text(encoding="utf-8-sig").strip().splitlines()
    except (OSError, UnicodeDecodeError) as error:
        raise UsageError(f"The labels cannot be read from {path}: {error}") from error


def _read_data(path):
    from export.archive import read_arrays

    return None if path is None else read_arrays(Path(path))


def _write_report(path, report, arguments):
    if path is None:
        return
    arguments = sys.argv[1:] if arguments is None else arguments
    report.command = shlex.join(["python", "-m", "export.to_onnx", *map(str, arguments)])
    content = report.to_json()
    if Path(path).suffix == ".html":
        from export.html import to_html

        content = to_html(report)
    write_atomically(Path(path), content.encode())


if __name__ == "__main__":
    sys.exit(main())
