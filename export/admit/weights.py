"""Checks the weights of a saved model, an HDF5 file, before Keras reads them."""

import importlib.util
import os
import subprocess
import sys
from pathlib import Path

import h5py

from export.errors import RefusedInputError

# Of the processor; a machine with much else to do may take ten times as long.
_SECONDS, _BYTES_PER_SECOND, _BUSY = 10, 20 << 20, 10
_OUT_OF_TIME = -24  # SIGXCPU, by which the limit of the child ends it.
_TEXT = {"PYTHONIOENCODING": "utf-8:backslashreplace"}  # Names in files may be any bytes.


def count_apart(path: Path) -> int:
    """Returns what `count` returns. HDF5 may hang or crash on a damaged file: not in this process.

    Raises:
        RefusedInputError: As `count` does, or if HDF5 did not end in time, or crashed.
    """
    seconds = _SECONDS + path.stat().st_size // _BYTES_PER_SECOND
    try:
        reader = subprocess.run(
            [sys.executable, "-P", "-m", "export.admit.weights", path, str(seconds)],
            env={**os.environ, "PYTHONPATH": os.pathsep.join(sys.path), **_TEXT},
            capture_output=True,
            encoding="utf-8",
            timeout=_BUSY * seconds,
        )
    except subprocess.TimeoutExpired as error:
        raise RefusedInputError(
            f"HDF5 did not read the weights within {error.timeout:.0f} seconds. Try again when the "
            "machine has less to do. Otherwise they are damaged: save the model again."
        ) from error
    if reader.returncode == 0:
        return int(reader.stdout)
    if reader.returncode == _OUT_OF_TIME:
        raise RefusedInputError(
            f"The weights are damaged: HDF5 did not read them within {seconds} seconds of the "
            "processor. Save the model again."
        )
    raise RefusedInputError(
        reader.stdout
        or "The weights are damaged: HDF5 crashed. Save the model again. Last line: "
        f"{reader.stderr.strip().rpartition(chr(10))[2]}"
    )


def count(path: Path) -> int:
    """Reads all arrays in a file of weights, and returns the number of their values.

    Raises:
        RefusedInputError: If a name leads out of the file or to a second place in it, if an item is
            not an array of numbers, or if the arrays declare more data than the file has.
    """
    room, numbers = path.stat().st_size, 0
    try:
        with h5py.File(path, "r") as file:
            groups, seen = [file], set()
            while groups:
                group = groups.pop()
                for name in group:
                    item = _item(group, name)
                    address = h5py.h5o.get_info(item.id).addr
                    if address in seen:
                        raise RefusedInputError(f"{_where(item)} is in the file twice.")
                    seen.add(address)
                    if isinstance(item, h5py.Group):
                        groups.append(item)
                        continue
                    numbers += item.size
                    room -= item.size * item.dtype.itemsize
                    if room < 0:
                        raise RefusedInputError(
                            f"{_where(item)} and the weights before it declare more bytes than "
                            "the file has. Save the model again, without compression. "
                            f"Received: shape {item.shape}"
                        )
                    item[()]
    except RefusedInputError:
        raise
    except Exception as error:  # The type of h5py's error depends on the damage.
        raise RefusedInputError(
            f"The weights are damaged. Save the model again. h5py says: {error}"
        ) from error
    return numbers


def _item(group, name):
    link = group.get(name, getlink=True)
    if not isinstance(link, h5py.HardLink):
        raise RefusedInputError(
            f"The weights refer elsewhere: {name!r} in {group.name!r} is a {type(link).__name__}. "
            "Save the model again."
        )
    item = group[name]
    if not isinstance(item, h5py.Group) and not _is_plain_array(item):
        raise RefusedInputError(
            f"{_where(item)} is not an array of numbers inside the file. Save the model again."
        )
    return item


def _is_plain_array(item):
    return (
        isinstance(item, h5py.Dataset)
        and item.shape is not None
        and item.dtype.kind in "biufV"  # V: bfloat16, which HDF5 does not have.
        and not item.dtype.hasobject
        and not item.external
        and not item.is_virtual
    )


def _where(item):
    return f"The weights: {item.name!r}"


def _limit_processor(seconds):
    if importlib.util.find_spec("resource"):  # Windows has none.
        resource = importlib.import_module("resource")
        resource.setrlimit(resource.RLIMIT_CPU, (seconds, seconds + 1))


if __name__ == "__main__":
    _limit_processor(int(sys.argv[2]))
    try:
        print(count(Path(sys.argv[1])))
    except RefusedInputError as refusal:
        print(refusal)
        sys.exit(4)
