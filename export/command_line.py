"""Parts of command lines that several commands share."""

import argparse
import importlib
from pathlib import Path
from typing import Any, NoReturn

from export.errors import UsageError


class Parser(argparse.ArgumentParser):
    """Parser whose errors are `UsageError`s."""

    def error(self, message: str) -> NoReturn:
        """Raises a `UsageError` with the usage."""
        raise UsageError(f"{message}\n{self.format_usage().strip()}")


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
