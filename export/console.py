"""The command `keras-capsules`, which runs the commands of this package by short names.

`keras-capsules export digits.keras -o digits.onnx` is `python -m export.to_onnx digits.keras ...`.
"""

import importlib
import os
import sys

from export.errors import UsageError

COMMANDS = {
    "export": ("export.to_onnx", "writes a Keras model as a checked ONNX file"),
    "device": ("export.device", "runs a file on images and signals"),
    "verify": ("export.verify", "checks that a file computes here what the model did"),
    "compare": ("export.compare.__main__", "compares a file of any exporter with a Keras model"),
    "benchmark": ("export.benchmark.__main__", "measures and compares files on this machine"),
    "doctor": ("export.doctor", "tests which converters work with the installed packages"),
}

_HELP = "\n".join(
    ["usage: keras-capsules COMMAND ...; keras-capsules COMMAND --help", "", "commands:"]
    + [f"  {name:10} {what}" for name, (_, what) in COMMANDS.items()]
)


def main(arguments: list[str] | None = None) -> int:
    """Runs a command by its short name, and returns its exit code; 5 for a wrong name."""
    command, *rest = (sys.argv[1:] if arguments is None else arguments) or ["--help"]
    if command in ("-h", "--help"):
        print(_HELP)
        return 0
    if command not in COMMANDS:
        print(
            f"keras-capsules: the commands are {', '.join(COMMANDS)}. Received: {command}",
            file=sys.stderr,
        )
        return UsageError.exit_code
    sys.path.append(os.getcwd())  # For --import, behind all packages.
    module, _ = COMMANDS[command]
    return importlib.import_module(module).main(rest)


if __name__ == "__main__":
    sys.exit(main())
