"""Writing a file so that its path holds the old content or the new, and nothing between."""

import os
import tempfile
from pathlib import Path

from export.errors import UsageError


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


def write_together(contents: dict[Path, bytes]) -> None:
    """Replaces a file and others that belong to it, each in one step.

    All are whole on the disk before the first is replaced. Old files that belong to it are removed
    just before that, so that never, whatever goes wrong, an old one stands beside the new first.

    Raises:
        UsageError: If the disk is full or the folder cannot be written.
    """
    staged = {}
    try:
        for path, content in contents.items():
            path = path.resolve()  # Through a link, so that the link stays one.
            _stage(path, content, staged)
        for path in list(staged)[1:]:
            path.unlink(missing_ok=True)
        for path, temporary in list(staged.items()):
            os.replace(temporary, path)
            del staged[path]
    except OSError as error:
        raise UsageError(
            f"{path} cannot be written: {error.strerror or error}. Whatever stood there is "
            "unchanged. Make room or give permission, or pass another path."
        ) from error
    finally:
        for temporary in filter(None, staged.values()):
            os.unlink(temporary)


def _stage(path, content, staged):
    """Writes the content to a temporary file beside the path, and notes its name at once."""
    with tempfile.NamedTemporaryFile(
        dir=path.parent, prefix=f".{path.name}.", suffix=".tmp", delete=False
    ) as file:
        staged[path] = file.name
        file.write(content)
        file.flush()
        os.fsync(file.fileno())
    os.chmod(staged[path], path.stat().st_mode if path.exists() else 0o666 & ~_umask())


def _umask():
    mask = os.umask(0)
    os.umask(mask)
    return mask
