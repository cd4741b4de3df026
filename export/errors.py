"""Defines the errors that stop an export, each with an exit code of the command line."""

import re
from typing import Any

EXIT_CODES = {
    0: "done and verified",
    1: "the file computes something else than the model, or loses too much accuracy",
    2: "the conversion failed",
    3: "the model needs an operation that the file may not hold",
    4: "a file is damaged or unsafe",
    5: "a path or an option is wrong",
}
"""The exit codes of all commands."""


class ExportError(Exception):
    """The export wrote nothing. The message says what was passed and how to fix it."""

    exit_code: int

    def __init__(self, message: str):
        super().__init__(printable(message))


class ParityError(ExportError):
    """The ONNX file computes something else than the model."""

    exit_code = 1

    def __init__(self, message: str, report: Any):
        super().__init__(message)
        self.report = report


class ConversionError(ExportError):
    """The converter failed, or made a file that no runtime would accept."""

    exit_code = 2


class UnsupportedOperationError(ExportError):
    """The model needs an operation that the exported file may not hold."""

    exit_code = 3


class RefusedInputError(ExportError):
    """A file is damaged or unsafe: it has code, refers to other files, or declares too much."""

    exit_code = 4


class UsageError(ExportError, ValueError):
    """A missing file or folder, an existing target, or an option that is not available."""

    exit_code = 5


def printable(text: str) -> str:
    """Returns a text, which may be from a file, without characters that steer a terminal."""
    return "".join(c if c.isprintable() or c == "\n" else ascii(c)[1:-1] for c in str(text))


def in_words(error: BaseException) -> str:
    """Returns the class and the message of an error, without what Keras adds to the message.

    Keras prints parts in bold, lists the arguments of the call after the message, and repeats the
    configuration of each layer that it is in before the message.
    """
    text = re.sub(r"\x1b\[\d+m", "", str(error)).partition("Arguments received by")[0]
    text = text.rpartition("Exception encountered: ")[2]
    return f"{type(error).__name__}: {' '.join(text.split())[:390]}"
