"""Reads signals and writes masks for `export/device.py`, beside which this file is copied.

It needs nothing but numpy.
"""

import os
import struct
import wave
import zlib

import numpy as np

_LARGEST = 2**27  # Values of a signal.
_WIDTHS = {1: "u1", 2: "<i2", 4: "<i4"}  # Bytes of a sample, and how a .wav file has it.
# Of the first classes: black, orange, sky blue, green, yellow, blue, vermilion and purple.
_COLORS = "000000 e69f00 56b4e9 009e73 f0e442 0072b2 d55e00 cc79a7".split()


def read_signal(path, shape: tuple) -> np.ndarray:
    """Reads one signal from a `.csv` or `.wav` file.

    Args:
        path: Path. The lines of a `.csv` file are steps, with a number for each channel; a first
            line without numbers names them. The samples of a `.wav` file become -1 to 1.
        shape: Shape of the model's input `(length, channels)`. An open length has a name.

    Returns:
        float32 array `(length, channels)`.

    Raises:
        ValueError: If the signal is empty, has other numbers than finite ones, or does not fit.
    """
    found = _read_wav(path) if str(path).lower().endswith(".wav") else _read_csv(path)
    if not len(found):
        raise ValueError("it has no steps")
    if not np.isfinite(found).all():
        step = int(np.argmin(np.isfinite(found).all(axis=1)))
        raise ValueError(f"step {step} is NaN or infinite. Fill gaps, or cut them out")
    if len(shape) != 2 or any(
        isinstance(want, int) and want != has for want, has in zip(shape, found.shape, strict=True)
    ):
        raise ValueError(f"the model takes {shape}, and this is a signal {found.shape}")
    return found.astype("float32")


def write_masks(predictor, paths: list[str]) -> list[dict]:
    """Labels each pixel of images, and writes a mask for each into the working folder.

    A mask of `photo.png` is `photo.mask.png`, whose pixels are numbers of classes, with a color for
    each.

    Args:
        predictor: `export.device.Predictor` of a segmentation.
        paths: Paths of images, or of arrays of one image or many.

    Returns:
        For each image a dictionary: `image`, the mask's path as `label`, and as `score` the mean of
        the highest scores.

    Raises:
        ValueError: If an image does not fit the model, or two paths have one name.
    """
    stems, rows = [os.path.splitext(os.path.basename(path))[0] for path in paths], []
    twice = sorted({stem for stem in stems if stems.count(stem) > 1})
    if twice:
        raise ValueError(f"Several images would have the mask {twice[0]}.mask.png. Rename them.")
    for path, stem in zip(paths, stems, strict=True):
        images = predictor.read_image(path)
        many = images.ndim == 4
        batches = predictor.scores(images, axes=4)
        for number, scores in enumerate(each for batch in batches for each in batch):
            if predictor.layout == "channels_first":
                scores = np.moveaxis(scores, 0, -1)
            label = f"{stem}.{number}.mask.png" if many else f"{stem}.mask.png"
            with open(label, "wb") as file:
                file.write(png_of(class_map(scores, predictor.threshold)))
            found = f"{path}[{number}]" if many else path
            score = float(scores.max(axis=-1).mean())
            rows.append({"image": found, "label": label, "score": score})
    return rows


def class_map(scores: np.ndarray, threshold: float = 0.5) -> np.ndarray:
    """Returns the numbers of the classes `(height, width)`, of scores with an axis for classes.

    A single score says whether its class, 1, is there.
    """
    found = scores[..., 0] >= threshold if scores.shape[-1] == 1 else scores.argmax(axis=-1)
    return found.astype("uint8")


def png_of(mask: np.ndarray) -> bytes:
    """Returns a PNG file of a mask `(height, width)` of uint8, with a color for each number."""
    palette = b"".join(bytes.fromhex(_COLORS[i % len(_COLORS)]) for i in range(int(mask.max()) + 1))
    rows = np.pad(mask, ((0, 0), (1, 0)))  # Each row begins with the number of its filter, none.
    header = struct.pack(">IIBBBBB", mask.shape[1], mask.shape[0], 8, 3, 0, 0, 0)
    chunks = (
        (b"IHDR", header),
        (b"PLTE", palette),
        (b"IDAT", zlib.compress(rows.tobytes())),
        (b"IEND", b""),
    )
    return b"\x89PNG\r\n\x1a\n" + b"".join(
        struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))
        for kind, data in chunks
    )


def _read_csv(path):
    with open(path, encoding="utf-8-sig") as file:
        lines = [line for line in file.read(16 * _LARGEST).splitlines() if line.strip()]
    if lines and not _is_number(lines[0].split(",")[0]):
        del lines[0]
    rows = [line.split(",") for line in lines]
    if len({len(row) for row in rows}) > 1:
        raise ValueError("its lines have different numbers of values")
    return np.array(rows, "float64").reshape(len(rows), len(rows[0]) if rows else 0)


def _is_number(text):
    try:
        float(text)
    except ValueError:
        return False
    return True


def _read_wav(path):
    with wave.open(str(path), "rb") as file:
        width, channels, count = file.getsampwidth(), file.getnchannels(), file.getnframes()
        if width not in _WIDTHS or count * channels > _LARGEST:
            raise ValueError(f"it has {count} samples of {8 * width} bits. Pass a .npy array")
        values = np.frombuffer(file.readframes(count), _WIDTHS[width]).astype("float64")
    values = values / 128 - 1 if width == 1 else values / 2.0 ** (8 * width - 1)
    return values.reshape(-1, channels)
