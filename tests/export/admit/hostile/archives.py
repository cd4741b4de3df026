"""Archives made by hand to do harm.

Each takes a path and the entries of a whole model, bytes by name, and writes a file.
"""

import pickle
import stat
import zipfile
from functools import partial

import numpy as np


class Canary:
    """Creates a file when it is unpickled."""

    def __init__(self, path):
        self.path = str(path)

    def __reduce__(self):
        return open, (self.path, "w")


def write(path, entries, method=zipfile.ZIP_STORED):
    """Writes entries, in whose place a ZipInfo may name them."""
    with zipfile.ZipFile(path, "w", method) as archive:
        for name, content in entries:
            archive.writestr(name, content)


def with_entry(name, path, entries):
    write(path, [*entries.items(), (name, b"evil")])


def with_link(path, entries):
    link = zipfile.ZipInfo("config.json")
    link.external_attr = (stat.S_IFLNK | 0o777) << 16
    others = [(name, entries[name]) for name in entries if name != "config.json"]
    write(path, [(link, b"/etc/passwd"), *others])


def with_many_entries(path, entries):
    write(path, [*entries.items(), *((f"assets/{number}", b"") for number in range(10_000))])


def with_bomb(path, entries):
    bomb = entries | {"model.weights.h5": bytes(128 << 20)}
    write(path, bomb.items(), zipfile.ZIP_DEFLATED)


def with_mild_bomb(path, entries):
    """Under the ratio, and 128 MB of JSON all the same."""
    noise = np.random.default_rng(0).integers(97, 123, 8 << 20, "uint8").tobytes()
    write(path, (entries | {"config.json": noise + bytes(128 << 20)}).items(), zipfile.ZIP_DEFLATED)


def with_encrypted_entry(path, entries):
    """Says so in both of its headers."""
    write(path, entries.items())
    content = bytearray(path.read_bytes())
    for header, flags in ((b"PK\x03\x04", 6), (b"PK\x01\x02", 8)):
        content[content.index(header) + flags] |= 1
    path.write_bytes(content)


def with_lying_size(size, path, entries):
    """In the directory of the archive, with a checksum that fits as much as there is of it."""
    write(path, entries.items(), zipfile.ZIP_DEFLATED)
    content, config = bytearray(path.read_bytes()), entries["config.json"]
    place = content.rindex(b"config.json") - 46
    content[place + 16 : place + 20] = zipfile.crc32(config[:size]).to_bytes(4, "little")
    content[place + 24 : place + 28] = size.to_bytes(4, "little")
    path.write_bytes(content)


ARCHIVES = {
    "absolute name": partial(with_entry, "/tmp/evil"),
    "name that leaves": partial(with_entry, "assets/../../evil"),
    "backslashes": partial(with_entry, "assets\\..\\..\\evil"),
    "drive": partial(with_entry, "C:evil"),
    "one file more": partial(with_entry, "assets/vocabulary.txt"),
    "two configurations": partial(with_entry, "config.json"),
    "link": with_link,
    "many entries": with_many_entries,
    "bomb": with_bomb,
    "mild bomb": with_mild_bomb,
    "encrypted": with_encrypted_entry,
    "compressed by LZMA": lambda path, entries: write(path, entries.items(), zipfile.ZIP_LZMA),
    "smaller than it says": partial(with_lying_size, 20_000),
    "larger than it says": partial(with_lying_size, 100),
    "a larger bomb than it says": lambda path, entries: with_lying_size(
        100, path, entries | {"config.json": b" " * (128 << 20)}
    ),
    "pickle": lambda path, entries: path.write_bytes(pickle.dumps(Canary(path.parent / "canary"))),
    "weights in another format": lambda path, entries: write(
        path, [*list(entries.items())[:2], ("model.weights.npz", b"")]
    ),
}
