"""Why an export stopped. Each error carries the exit code of the command line."""


class ExportError(Exception):
    """An export that wrote nothing. The message says what was passed and how to mend it."""

    exit_code: int


class ParityError(ExportError):
    """The ONNX file computes something else than the model."""

    exit_code = 1

    def __init__(self, message: str, report=None):
        super().__init__(message)
        self.report = report


class ConversionError(ExportError):
    """The converter failed, or made a file that no runtime would accept."""

    exit_code = 2


class UnsupportedOperationError(ExportError):
    """The model needs an operation that the exported file may not hold."""

    exit_code = 3


class RefusedInputError(ExportError):
    """A file is damaged or unsafe: it brings code along, leads elsewhere, or declares too much."""

    exit_code = 4


class UsageError(ExportError, ValueError):
    """A missing file or folder, an existing target, or an option that cannot be had."""

    exit_code = 5
