"""Parts of command lines that several commands share."""

import argparse
import contextlib
import difflib
import importlib
import os
import re
import sys
import tempfile
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from typing import Any, NoReturn

from export.errors import (
    EXIT_CODES,
    ConversionError,
    ExportError,
    UsageError,
    in_words,
    printable,
)

# What TensorFlow prints as it is imported, up to 2.19 and since then. F, a crash, is not of these.
_STARTUP_LINE = re.compile(
    rb"WARNING: All log messages before absl|To enable the following instructions: "
    rb"|[IWE]\d{4} \d\d:\d\d:\d\d|\d{4}-\d\d-\d\d \d\d:\d\d:\d\d\.\d+: [IWE] "
)


class Parser(argparse.ArgumentParser):
    """Parser whose errors are `UsageError`s, and whose help names exit codes.

    Args:
        name: Name of the command, `python -m export.<name>`.
        description: What the command does.
        codes: The exit codes of the command.
        remark: What else there is to say about them.
    """

    def __init__(self, name: str, description: str, codes: Iterable[int], remark: str = ""):
        lines = [f"  {code}  {EXIT_CODES[code]}" for code in codes]
        super().__init__(
            prog=f"python -m export.{name}",
            description=description,
            epilog="\n".join(["exit codes:", *lines, remark]),
            formatter_class=argparse.RawDescriptionHelpFormatter,
        )

    def error(self, message: str) -> NoReturn:
        """Raises a `UsageError` with the usage, and with the flag that was perhaps meant."""
        _, unknown, wrong = message.partition("unrecognized arguments: --")
        flags = [flag for action in self._actions for flag in action.option_strings]
        near = difflib.get_close_matches(f"--{wrong.split()[0]}", flags, n=1) if unknown else []
        meant = f" Did you mean {near[0]}?" if near else ""
        raise UsageError(f"{message}.{meant}\n{self.format_usage().strip()}")


def exit_code_of(name: str, command: Callable[[], int]) -> int:
    """Runs a command, and returns its exit code. What it raises becomes a message.

    Args:
        name: Name of the command, for the message.
        command: Function that returns an exit code.
    """
    try:
        return command()
    except ExportError as error:
        print(f"{name}: {error}", file=sys.stderr)
        return error.exit_code
    except KeyboardInterrupt:
        print(f"{name}: interrupted, nothing was written", file=sys.stderr)
        return 130
    except Exception as error:  # Of a layer, or of a package: a user can do nothing with a stack.
        print(f"{name}: failed unexpectedly. {printable(in_words(error))}", file=sys.stderr)
        return ConversionError.exit_code


def show(text: str) -> None:
    """Prints a text, which may be from a file, without characters that steer a terminal."""
    print(printable(text))


@contextlib.contextmanager
def without_startup_lines() -> Iterator[None]:
    """Keeps TensorFlow's start-up lines from standard error; other lines follow at the end.

    Some of them come before TensorFlow reads its own setting. `TF_CPP_MIN_LOG_LEVEL=0` shows all.
    """
    level = os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
    if level == "0" or "tensorflow" in sys.modules or sys.stderr is None:
        yield
        return
    sys.stderr.flush()
    shown = os.dup(2)
    with tempfile.TemporaryFile() as hidden:
        os.dup2(hidden.fileno(), 2)
        try:
            yield
        finally:
            sys.stderr.flush()
            os.dup2(shown, 2)
            os.close(shown)
            hidden.seek(0)
            os.write(2, b"".join(line for line in hidden if not _STARTUP_LINE.match(line)))


def add_import(parser: argparse.ArgumentParser) -> None:
    """Adds the flag for modules to import, `modules` in the result."""
    parser.add_argument(
        "--import",
        dest="modules",
        metavar="MODULE",
        nargs="+",
        default=[],
        help="modules that register the model's own classes and functions",
    )


def import_modules(names: list[str]) -> None:
    """Imports modules of the user's, or raises a `UsageError`."""
    for name in names:
        try:
            importlib.import_module(name)
        except Exception as error:  # The module is the user's, and may raise any class.
            raise UsageError(
                f"The module {name} cannot be imported from this folder: "
                f"{type(error).__name__}: {error}"
            ) from error


def read_data(path: str) -> dict[str, Any]:
    """Reads an .npz file of arrays."""
    from export.admit.archive import read_arrays

    return read_arrays(Path(path))
