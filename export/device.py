"""Runs an exported model with onnxruntime and numpy, and Pillow for image files.

`python -m export.device model.onnx photo.png`

A copy runs without the project, for signals and masks with a copy of `device_files.py` beside it.
"""

import argparse
import importlib
import json
import math
import os
import sys
import time
from typing import NamedTuple

import numpy as np
import onnxruntime

_CHUNK = 32
_EXIT_CODES = "exit codes:\n  0  done\n  4  a file is damaged\n  5  a path or an option is wrong"
_FORMATS = ("BMP", "GIF", "JPEG", "PNG", "PPM", "TIFF", "WEBP")  # None starts a program.
_LARGEST = 2**27  # Pixels of an image, and values of an input.
_METADATA = {"class_names": "null", "input_range": "[0, 1]", "preprocessing": "{}", "task": "{}"}
_NUMBERS = "bool int8 int16 int32 int64 uint8 uint16 uint32 uint64 float16".split()
_TYPES = {"tensor(float)": "float32", "tensor(double)": "float64"}
_TYPES |= {f"tensor({name})": name for name in _NUMBERS}


class DamagedFileError(ValueError):
    """A file exists, but cannot be read."""


class Prediction(NamedTuple):
    """Answer of the model for one image.

    Attributes:
        label: Name of the class with the largest score, or its number. For several labels at once,
            those that reach the threshold. For one score, the second class if so, else the first.
        score, scores: The largest score, and all as an array `(num_classes,)`.
    """

    label: str
    score: float
    scores: np.ndarray


class Predictor:
    """Model that is ready to run.

    Args:
        path: Path of an ONNX file from `export.to_onnx`, or of its `.ort` copy.
        threads: Integer. Threads for one inference. Defaults to `0`, all cores.
        providers: Names of onnxruntime's execution providers, best first. Defaults to the CPU.

    Attributes:
        labels: List of class names, or `None`.
        input_range: Pair of floats: the inputs for a black and a white pixel.
        shapes: Shape of one sample of each input, by name. Open axes have names.
        task: What the scores mean: `"classes"`, `"labels"`, `"binary"`, or another task.
        threshold: Smallest score of a label that is present, for `"labels"` and `"binary"`.
        layout: Layout of the images, `"channels_last"` or `"channels_first"`.
        batch: Size of the batches that the file takes, or `None` if it takes any.

    Call arguments:
        inputs: An array `(batch, ...)`, one sample, a list of arrays in the file's order, or a
            dictionary by input name, all unscaled. The call returns arrays by output name.

    Raises:
        ValueError: If the path, a provider or an input is wrong; `DamagedFileError` for the file.
    """

    def __init__(self, path, threads: int = 0, providers=None):
        if not os.path.isfile(path):  # Another kind of file may have no end.
            raise ValueError(f"There is no file {path}. Pass the path of an ONNX file.")
        if not 0 <= threads <= 1024:
            raise ValueError(f"Pass 0 to 1024 threads. Received: {threads}")
        if not set(providers or ()) <= set(known := onnxruntime.get_available_providers()):
            raise ValueError(f"The providers here are {', '.join(known)}. Received: {providers}")
        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads, options.log_severity_level = threads, 4
        try:
            self.session = onnxruntime.InferenceSession(
                str(path), options, providers or ["CPUExecutionProvider"], enable_fallback=0
            )
            self._read_facts()
        except Exception as error:  # onnxruntime's errors have no other common class.
            raise DamagedFileError(
                f"{path} cannot be loaded. Export the model again with export.to_onnx, or upgrade "
                f"onnxruntime {onnxruntime.__version__}. ({type(error).__name__}: {error})"
            ) from error

    def __call__(self, inputs) -> dict[str, np.ndarray]:
        if not isinstance(inputs, dict):
            arrays = inputs if isinstance(inputs, (list, tuple)) else [inputs]
            inputs = dict(zip([*self.shapes, None], arrays, strict=False))
        if set(inputs) != set(self.shapes):
            raise ValueError(f"Pass an array for each of the inputs {', '.join(self.shapes)}.")
        types = zip(self.shapes, self._types, strict=True)
        return self.run({name: self._batch_of(name, inputs[name]).astype(t) for name, t in types})

    def run(self, inputs: dict[str, np.ndarray]) -> dict[str, np.ndarray]:
        """Runs the model once on arrays of its types, and returns arrays; both by name."""
        names = [value.name for value in self.session.get_outputs()]
        try:
            return dict(zip(names, self.session.run(names, inputs), strict=True))
        except Exception as error:  # onnxruntime's errors have no other common class.
            raise DamagedFileError(f"The model fails on this input: {error}") from error

    def predict(self, images: np.ndarray) -> list[Prediction]:
        """Classifies images, and returns a `Prediction` for each.

        Args:
            images: Array `(batch, ...)`, or one sample. If the model takes floats, uint8 arrays are
                pixels, which are scaled. A file with preprocessing takes only uint8.
        """
        return [self._prediction(row) for rows in self.scores(images) for row in rows]

    def scores(self, images: np.ndarray, axes: int = 2):
        """Yields the scores of one batch of images after the other, taken as in `predict`."""
        name = self._only_input()[0]
        images, kind = self._batch_of(name, images), self._types[0]
        pixels, floats = images.dtype == np.uint8, kind.startswith("float")
        taken = "" if kind == "uint8" else "f" if floats else "fiub"
        if not pixels and images.dtype.kind not in tuple(taken):
            raise ValueError(
                "Pass pixels from 0 to 255 as uint8, or, if the file does not scale them, numbers "
                f"as in the training, {self.input_range}. Received: {images.dtype}"
            )
        (low, high), size = self.input_range, self.batch or _CHUNK
        for start in range(0, len(images), size):
            chunk = images[start : start + size]
            if not np.isfinite(chunk).all():
                raise ValueError("A number is NaN or infinite. Fill gaps, or cut them out.")
            chunk = low + chunk * ((high - low) / 255) if pixels and floats else chunk
            filled = np.resize(chunk, (self.batch or len(chunk), *chunk.shape[1:])).astype(kind)
            outputs = self.run({name: filled})
            scores = outputs.get("scores", next(iter(outputs.values()), np.empty(0)))
            shape = np.shape(scores)
            if len(shape) != axes or shape[0] < len(chunk) or 0 in shape:
                what = f"The model gives no scores, one row an image, but an output {shape}."
                raise ValueError(f"{what} Call the predictor itself for the outputs by name.")
            yield scores[: len(chunk)]

    def latency(self, runs: int = 300) -> dict[str, float]:
        """Times single images, or whole batches: half take `p50` milliseconds, nearly all `p99`."""
        name, shape = self._only_input()
        if not all(isinstance(size, int) for size in shape):
            raise ValueError(f"The time depends on the size. Received: open axes, {shape}")
        image, times = {name: np.zeros((self.batch or 1, *shape), self._types[0])}, []
        for _ in range(runs // 10 + runs):
            start = time.perf_counter()
            self.run(image)
            times.append(1e3 * (time.perf_counter() - start))
        found = np.percentile(times[-runs:], (50, 99)).tolist()
        return dict(zip(("p50", "p99"), found, strict=True))

    def read_image(self, path) -> np.ndarray:
        """Reads `.npy` unchanged, `.csv` and `.wav` as signals, and images as resized pixels."""
        shape = self._only_input()[1]
        sizes = shape[1:] + shape[:1] if self.layout == "channels_first" else shape
        if not os.path.isfile(path):  # Another kind of file may have no end.
            raise ValueError(f"{path} cannot be read: there is no such regular file.")
        is_array, is_signal = (str(path).lower().endswith(e) for e in (".npy", (".csv", ".wav")))
        if not (is_array or is_signal) and (len(sizes) != 3 or sizes[2] not in (1, 3)):
            raise ValueError(f"The model takes arrays of shape {shape}. Pass them as .npy.")
        try:
            if is_array:  # Which has no memory before it is used.
                return np.lib.format.open_memmap(path, mode="r")
            if is_signal:
                return _beside().read_signal(path, shape)
            pixels = _pixels(path, sizes)
            return pixels if sizes is shape else pixels.transpose(2, 0, 1)
        except (ImportError, PermissionError) as error:
            raise ValueError(f"{path} cannot be read: {error}. Is pillow there?") from error
        except Exception as error:  # Its type depends on the damage.
            raise DamagedFileError(f"{path} cannot be read: {error}") from error

    def _read_facts(self):
        """Reads what the file says about itself, which may be anything."""
        stored = self.session.get_modelmeta().custom_metadata_map
        found = (json.loads(stored.get(key) or default) for key, default in _METADATA.items())
        self.labels, (low, high), preprocessing, task = found
        self.task, self.threshold = task.get("kind", "classes"), task.get("threshold", 0.5)
        self.layout = preprocessing.get("layout", "channels_last")
        ok = all(type(x) in (int, float) and math.isfinite(x) for x in (low, high, self.threshold))
        named = all(isinstance(name, str) for name in (self.task, *(self.labels or ())))
        if not (ok and low < high and named and isinstance(self.labels, list | None)):
            raise DamagedFileError("Its metadata are of another kind than the export writes.")
        self.input_range = float(low), float(high)
        inputs = self.session.get_inputs()
        for value in inputs:
            size = math.prod(max(axis, 0) for axis in value.shape if isinstance(axis, int))
            if value.type not in _TYPES or not value.shape or not 0 < size <= _LARGEST:
                raise DamagedFileError(f"It takes no batch of at most {_LARGEST} numbers: {value}")
        self.shapes = {value.name: tuple(value.shape[1:]) for value in inputs}
        self.batch = next((v.shape[0] for v in inputs if isinstance(v.shape[0], int)), None)
        self._types = [_TYPES[value.type] for value in inputs]

    def _only_input(self):
        if len(self.shapes) != 1:
            raise ValueError(f"It takes {', '.join(self.shapes)}: call run with arrays by name.")
        return next(iter(self.shapes.items()))

    def _batch_of(self, name, array):
        """Returns an array with a batch axis, if its shape fits the input."""
        given, shape = np.asarray(array), self.shapes[name]
        array = given[None] if given.ndim == len(shape) else given
        if array.ndim != 1 + len(shape) or array.shape[1:] != _sizes(shape, array.shape[1:]):
            wanted = ", ".join(map(str, ("batch", *shape)))
            raise ValueError(f"{name} takes arrays of shape ({wanted}). Received: {given.shape}")
        return array

    def _prediction(self, scores):
        names = self.labels or list(map(str, range(max(2, len(scores)))))
        if len(names) < len(scores):
            raise DamagedFileError(f"The file has {len(names)} names for {len(scores)} scores.")
        label = names[best := int(np.argmax(scores))]
        if self.task == "labels" or (self.task == "binary" and len(names) == 1):
            label = ", ".join(names[i] for i in np.flatnonzero(scores >= self.threshold)) or "none"
        elif self.task == "binary":
            label = names[int(scores[0] >= self.threshold)]
        return Prediction(label, float(scores[best]), scores)


def _sizes(expected, given):
    """Returns the expected size of each axis, or the given one if any is possible."""
    return tuple(a if isinstance(a, int) else b for a, b in zip(expected, given, strict=False))


def _pixels(path, sizes):
    """Returns the pixels of an image file as an array of a height, a width and channels."""
    from PIL import Image, ImageOps

    with Image.open(path, formats=_FORMATS) as image:
        if image.width * image.height > _LARGEST:
            raise ValueError(f"it has more than {_LARGEST} pixels")
        image = ImageOps.exif_transpose(image)  # Phones store how they were held.
        if image.mode in ("I", "F") or image.mode.startswith("I;"):
            raise ValueError(f"its pixels have more than 8 bits ({image.mode}). Pass a .npy array.")
        if image.has_transparency_data:
            image = image.convert("RGBA")
            image = Image.alpha_composite(Image.new("RGBA", image.size, "white"), image)
        image = image.convert("L" if sizes[2] == 1 else "RGB")
        height, width = _sizes(sizes, (image.height, image.width))
        image = image.resize((width, height), Image.Resampling.BILINEAR)
        return np.asarray(image, "uint8").reshape(height, width, sizes[2])


def _beside():
    """Imports the file beside this one, which reads signals and writes masks."""
    return importlib.import_module(f"{__package__ or ''}.device_files".lstrip("."))


def _line(text):
    """Returns a text of a file on one line, without characters that steer a terminal."""
    return "".join(c if c.isprintable() else ascii(c)[1:-1] for c in " ".join(str(text).split()))


def main(arguments: list[str] | None = None) -> int:
    """Runs the command line, and returns its exit code."""
    style, task = argparse.RawDescriptionHelpFormatter, "Classifies images, pixels and signals."
    parser = _Parser("python -m export.device", None, task, _EXIT_CODES, formatter_class=style)
    parser.add_argument("model", help="an ONNX file that export.to_onnx wrote")
    parser.add_argument("images", nargs="+", help="images, .csv or .wav signals, or .npy arrays")
    parser.add_argument("--threads", type=int, default=0, help="for one inference (default: all)")
    parser.add_argument("--providers", nargs="+", help="onnxruntime's, best first (default: CPU)")
    parser.add_argument("--latency", action="store_true", help="time single images as well")
    parser.add_argument("--json", action="store_true", help="print one JSON object instead")
    try:
        options = parser.parse_args(arguments)
        predictor = Predictor(options.model, options.threads, options.providers)
        masks = predictor.task == "segmentation"
        rows = _beside().write_masks(predictor, options.images) if masks else []
        for path in [] if masks else options.images:
            predictions = predictor.predict(predictor.read_image(path))
            for number, prediction in enumerate(predictions):
                name = path if len(predictions) == 1 else f"{path}[{number}]"
                rows.append({"image": name, "label": prediction.label, "score": prediction.score})
        latency = predictor.latency() if options.latency else None
        lines = [f"{_line(r['image'])}  {_line(r['label'])}  {r['score']:.4f}" for r in rows]
        if latency:
            line = "latency at batch {}: p50 {p50:.2f} ms, p99 {p99:.2f} ms"
            lines.append(line.format(predictor.batch or 1, **latency))
        found = {"predictions": rows, "latency_ms": latency}
        print(json.dumps(found) if options.json else "\n".join(lines))
        return 0
    except Exception as error:  # Of any class: a traceback does not help a user.
        known = isinstance(error, (ValueError, OSError))
        print(f"device: {_line(error if known else repr(error))}", file=sys.stderr)
        return 5 if known and not isinstance(error, DamagedFileError) else 4


class _Parser(argparse.ArgumentParser):
    def error(self, message):
        raise ValueError(f"{message}\n{self.format_usage().strip()}")


if __name__ == "__main__":
    sys.exit(main())
