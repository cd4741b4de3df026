"""Writing files so that each path holds the old content or the new, and nothing between."""

import contextlib
import glob
import os
import tempfile
import time
from collections.abc import Collection
from pathlib import Path

from export.errors import UsageError

_STALE_SECONDS = 3600  # A file takes seconds to write.


def check_target(path: Path, force: bool) -> None:
    """Raises a `UsageError` for a target that cannot, or may not, be written."""
    path = path.resolve()
    if path.is_dir():
        raise UsageError(f"{path} is a folder. Pass the path of the file to write.")
    if not path.parent.is_dir():
        raise UsageError(
            f"The folder {path.parent} does not exist. Make it first: nothing is made."
        )
    if path.exists() and not force:
        raise UsageError(f"{path} exists. Pass --force (in Python: force=True) to replace it.")


def write_atomically(path: Path, content: bytes) -> None:
    """Replaces a file in one step, through a temporary file beside it.

    Raises:
        UsageError: If the disk is full or the folder cannot be written. The old file stays.
    """
    write_together({path: content})


def write_together(files: dict[Path, bytes], derived: Collection[Path] = ()) -> None:
    """Replaces files one right after the other, once the new content of all is on the disk.

    Old ones that are `derived` from the others are removed just before, so that never, whatever
    goes wrong, an old one stands beside the new file that it would be taken to belong to.

    Raises:
        UsageError: If the disk is full or the folder cannot be written. The old files stay.
    """
    staged = []
    try:
        for path, content in files.items():
            path = path.resolve()  # Through a link, so that the link stays one.
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
            f"{path} cannot be written: {error.strerror or error}. Whatever stood there is "
            "unchanged. Make room or give permission, or pass another path."
        ) from error
    finally:
        for temporary, _ in staged:
            os.unlink(temporary)


def _remove_stale(path):
    """Removes what a writer that was killed left behind, and nothing of one that may be alive."""
    for file in path.parent.glob(f".{glob.escape(path.name)}.????????.tmp"):
        with contextlib.suppress(FileNotFoundError):  # Another one may remove it first.
            if time.time() - file.stat().st_mtime > _STALE_SECONDS:
                file.unlink()


def _umask():
    mask = os.umask(0)
    os.umask(mask)
    return mask
