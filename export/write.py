"""Names and writes the files of an export. Each path has either its old or its new content."""

import contextlib
import glob
import os
import tempfile
import time
from collections.abc import Collection
from dataclasses import dataclass
from pathlib import Path

from export.errors import UsageError

C_BEGINNING = "/* keras-capsules: "
"""How the sources of a program of C begin, so that no others are removed."""

_ORT_SUFFIXES = (".ort", ".required_operators.config")
_C_SUFFIXES = (".c", ".h", "_selftest.c")
_STALE_SECONDS = 3600  # A file takes seconds to write.


@dataclass(frozen=True)
class Target:
    """Files of an export.

    Attributes:
        onnx: Path of the ONNX file.
        force: Whether existing files may be replaced.
        c: Whether a program of C is written, too.
    """

    onnx: Path
    force: bool
    c: bool = False

    @property
    def seal(self) -> Path:
        """The seal of the ONNX file."""
        from export.verify import seal_path  # It imports onnxruntime, which takes a while.

        return seal_path(self.onnx)

    @property
    def copies(self) -> list[Path]:
        """The `.ort` copy and its list of operators. Old ones do not belong to a new file."""
        return ort_paths(self.onnx)

    @property
    def sources(self) -> list[Path]:
        """The program of C: its source, its header and its self-test."""
        return [self.onnx.parent / f"{self.onnx.stem}{suffix}" for suffix in _C_SUFFIXES]

    @property
    def derived(self) -> list[Path]:
        """Files that are made from the ONNX file. Old ones do not belong to a new file."""
        return [*self.copies, *(path for path in self.sources if self.c or _is_ours(path))]

    @property
    def worst_inputs(self) -> Path:
        """The inputs on which the file failed, in the format of `--data`."""
        return self.onnx.with_suffix(".worst.npz")

    @property
    def all(self) -> list[Path]:
        """The files that are written, or removed, if the export passes."""
        return [self.onnx, self.seal, *self.derived]

    def check(self) -> None:
        """Raises a `UsageError` if a file cannot, or may not, be written."""
        if self.c and self.onnx in self.sources:
            raise UsageError(f"{self.onnx} has the name of a file of C. Call the ONNX file .onnx.")
        for path in self.all:
            check_target(path, self.force)


def _is_ours(path):
    """Returns whether an export wrote a source, and not the user."""
    if not os.path.isfile(path):  # False also for a name that is too long.
        return False
    with path.open("rb") as file:
        return file.read(len(C_BEGINNING)) == C_BEGINNING.encode()


def ort_paths(onnx: Path) -> list[Path]:
    """Returns the paths of the `.ort` copy and its list of operators, next to the ONNX file.

    Raises:
        UsageError: If the ONNX file has the suffix `.ort`.
    """
    if onnx.suffix == ".ort":
        raise UsageError(f"{onnx} has the name of its .ort copy. Call the ONNX file .onnx.")
    return [onnx.parent / f"{onnx.stem}{suffix}" for suffix in _ORT_SUFFIXES]


def check_target(path: Path, force: bool) -> None:
    """Raises a `UsageError` for a target that cannot, or may not, be written."""
    path = _without_links(path)
    if path.is_dir():
        raise UsageError(f"{path} is a folder. Pass the path of the file to write.")
    if not path.parent.is_dir():
        raise UsageError(
            f"The folder {path.parent} does not exist. Create it first; the export does not create "
            f"folders."
        )
    _check_kind(path)
    if path.exists() and not force:
        raise UsageError(f"{path} exists. Pass --force (in Python: force=True) to replace it.")


def _without_links(path):
    """Returns the path of the file that links lead to. The name must leave room for another."""
    try:
        real = path.parent.resolve() / path.name
        real = real.resolve() if real.is_symlink() else real
        os.lstat(real.parent / _temporary(real, "12345678"))
    except FileNotFoundError:
        return real
    except (OSError, RuntimeError, ValueError) as error:  # RuntimeError: links in a circle.
        raise UsageError(
            f"{path} cannot be written: {error}. Pass the path of a file with a shorter name."
        ) from error
    return real


def _check_kind(path):
    """Raises a `UsageError` for a device, a pipe or a socket, which a file would replace."""
    if path.exists() and not path.is_file():
        raise UsageError(f"{path} is not a regular file. Pass the path of a file to write.")


def _temporary(path, letters):
    return f".{path.name}.{letters}.tmp"


def write_atomically(path: Path, content: bytes) -> None:
    """Replaces a file in one step, through a temporary file in the same folder.

    Raises:
        UsageError: If the disk is full or the folder cannot be written. The old file stays.
    """
    write_together({path: content})


def write_together(files: dict[Path, bytes], derived: Collection[Path] = ()) -> None:
    """Replaces files right after each other, once all new contents are on the disk.

    Old files that are `derived` from the others are removed just before. Even after a failure there
    is thus never an old derived file next to a new file that it does not belong to.

    Raises:
        UsageError: If the disk is full or the folder cannot be written. The old files stay.
    """
    staged = []
    try:
        for path, content in files.items():
            path = path.resolve()  # A link stays a link.
            _check_kind(path)
            _remove_stale(path)
            with tempfile.NamedTemporaryFile(
                dir=path.parent, prefix=f".{path.name}.", suffix=".tmp", delete=False
            ) as file:
                staged.append((file.name, path))
                file.write(content)
                file.flush()
                os.fsync(file.fileno())
            os.chmod(file.name, path.stat().st_mode if path.exists() else 0o666 & ~_umask())
        for path in derived:
            path.resolve().unlink(missing_ok=True)
        while staged:
            path = staged[0][1]
            os.replace(*staged[0])
            del staged[0]
    except OSError as error:
        raise UsageError(
            f"{path} cannot be written: {error.strerror or error}. An existing file is "
            "unchanged. Make room or give permission, or pass another path."
        ) from error
    finally:
        for temporary, _ in staged:
            os.unlink(temporary)


def _remove_stale(path):
    """Removes the temporary files of a killed writer, but not those of one that may be alive."""
    for file in path.parent.glob(f".{glob.escape(path.name)}.????????.tmp"):
        with contextlib.suppress(FileNotFoundError):  # Another process may remove it first.
            if time.time() - file.stat().st_mtime > _STALE_SECONDS:
                file.unlink()


def _umask():
    mask = os.umask(0)
    os.umask(mask)
    return mask
