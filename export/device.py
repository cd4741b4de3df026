"""Runs an exported model with onnxruntime and numpy, and Pillow for image files.

`python -m export.device model.onnx photo.png`

This file needs nothing else of the project. It can be copied to a device, and
`python device.py model.onnx photo.png` runs it there.
"""

import argparse
import json
import sys
import time
from pathlib import Path
from typing import NamedTuple

import numpy as np
import onnxruntime

_CHUNK = 32
_EXIT_CODES = """
exit codes:
  0  done
  4  a file is damaged
  5  a path or an option is wrong
"""
_TYPES = {"tensor(float)": "float32", "tensor(uint8)": "uint8"}
_TYPES |= {f"tensor({name})": name for name in ("int8", "int16", "int32", "int64", "float16")}


class DamagedFileError(ValueError):
    """A file exists, but cannot be read."""


class Prediction(NamedTuple):
    """Answer of the model for one image.

    Attributes:
        label: Name of the class with the largest score, or its number if the file has no names. Of
            a file for several labels at once, those that reach the threshold, with commas. Of one
            score, the second class if it reaches the threshold, else the first.
        score: The largest score.
        scores: Array `(num_classes,)`.
    """

    label: str
    score: float
    scores: np.ndarray


class Predictor:
    """Model that is ready to run.

    Args:
        path: Path of an ONNX file from `export.to_onnx`, or of its `.ort` copy.
        threads: Integer. Threads for one inference. Defaults to `0`, all cores.
        providers: Names of onnxruntime's execution providers, the preferred one first. Defaults to
            the CPU.

    Attributes:
        labels: List of class names, or `None`.
        input_range: Pair of floats: the inputs for a black and a white pixel.
        shapes: Shape of one sample of each input, by name. Open axes have names.
        task: What the scores mean: `"classes"`, `"labels"`, `"binary"`, or another task.
        threshold: Smallest score of a label that is present, for `"labels"` and `"binary"`.
        layout: Layout of the images, `"channels_last"` or `"channels_first"`.
        batch: Size of the batches that the file takes, or `None` if it takes any.

    Call arguments:
        inputs: An array `(batch, ...)`, or one sample, or a list of arrays in the file's order, or
            a dictionary by input name, all unscaled. The call returns arrays by output name.

    Raises:
        ValueError: If the path, a provider or an input is wrong; `DamagedFileError` for the file.

    Example:

    >>> predictor = Predictor("digits.onnx")
    >>> predictor.predict(np.zeros((1, 28, 28, 1), "uint8"))[0].label
    '1'
    """

    def __init__(self, path, threads: int = 0, providers=None):
        if not Path(path).is_file():
            raise ValueError(f"There is no file {path}. Pass the path of an ONNX file.")
        known = onnxruntime.get_available_providers()
        if not set(providers or ()) <= set(known):
            raise ValueError(f"The providers here are {', '.join(known)}. Received: {providers}")
        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = threads
        options.log_severity_level = 3
        try:
            self.session = onnxruntime.InferenceSession(
                str(path), options, providers=list(providers or ["CPUExecutionProvider"])
            )
        except Exception as error:  # onnxruntime's errors have no other common class.
            raise DamagedFileError(
                f"{path} cannot be loaded. Export the model again with export.to_onnx, or upgrade "
                f"onnxruntime {onnxruntime.__version__}. onnxruntime says: {error}"
            ) from error
        properties = self.session.get_modelmeta().custom_metadata_map
        self.labels = json.loads(properties.get("class_names") or "null")
        self.input_range = tuple(json.loads(properties.get("input_range") or "[0.0, 1.0]"))
        self.shapes = {value.name: tuple(value.shape[1:]) for value in self.session.get_inputs()}
        preprocessing = json.loads(properties.get("preprocessing") or "{}")
        task = json.loads(properties.get("task") or "{}")
        self.task, self.threshold = task.get("kind", "classes"), task.get("threshold", 0.5)
        self.layout = preprocessing.get("layout", "channels_last")
        first_axis = self.session.get_inputs()[0].shape[0]
        self.batch = first_axis if isinstance(first_axis, int) else None
        self._types = [_TYPES.get(value.type, "float32") for value in self.session.get_inputs()]

    def __call__(self, inputs) -> dict[str, np.ndarray]:
        if not isinstance(inputs, dict):
            arrays = inputs if isinstance(inputs, (list, tuple)) else [inputs]
            inputs = dict(zip(self.shapes, arrays, strict=False))
        if set(inputs) != set(self.shapes):
            raise ValueError(f"Pass an array for each of the inputs {', '.join(self.shapes)}.")
        types = zip(self.shapes, self._types, strict=True)
        return self.run({name: self._batch_of(name, inputs[name]).astype(t) for name, t in types})

    def run(self, inputs: dict[str, np.ndarray]) -> dict[str, np.ndarray]:
        """Runs the model once on arrays of its types, and returns arrays; both by name."""
        names = [value.name for value in self.session.get_outputs()]
        return dict(zip(names, self.session.run(names, inputs), strict=True))

    def predict(self, images: np.ndarray) -> list[Prediction]:
        """Classifies images.

        Args:
            images: Array `(batch, ...)`, or one sample without the batch axis. If the model takes
                floats, uint8 arrays are pixels and are scaled to the model's range, and floats are
                not changed. A file with preprocessing takes only uint8.

        Returns:
            A `Prediction` for each image.

        Raises:
            ValueError: If the images have another shape or type than the model takes, or if the
                model has several inputs or gives no scores.
        """
        name = self._only_input()[0]
        images, kind = self._batch_of(name, images), self._types[0]
        if kind.startswith("float"):
            if images.dtype == np.uint8:
                low, high = self.input_range
                images = low + images * ((high - low) / 255)
            elif images.dtype.kind != "f":
                raise ValueError(
                    "Pass pixels from 0 to 255 as uint8, or floats in the range of the model's "
                    f"training, {self.input_range}. Received: {images.dtype}"
                )
        elif kind == "uint8" and images.dtype != np.uint8:
            raise ValueError(
                "The file takes raw pixels from 0 to 255 and scales them. Pass uint8. "
                f"Received: {images.dtype}"
            )
        predictions, size = [], self.batch or _CHUNK
        for start in range(0, len(images), size):
            chunk = images[start : start + size].astype(kind)
            filled = chunk if self.batch is None else np.resize(chunk, (size, *chunk.shape[1:]))
            outputs = self.run({name: filled})
            scores = outputs.get("scores", next(iter(outputs.values())))
            if scores.ndim != 2:
                raise ValueError(
                    "The model gives no scores, one row for each image. Call the predictor itself "
                    f"for the outputs by name. Received: an output of shape {scores.shape}"
                )
            predictions.extend(self._prediction(row) for row in scores[: len(chunk)])
        return predictions

    def latency(self, runs: int = 300) -> dict[str, float]:
        """Times single images of zeros, or complete batches if the file takes nothing else.

        Of `runs` runs, after a tenth as many that do not count, half took at most the returned
        milliseconds `p50`, and all but a hundredth at most `p99`.
        """
        name, shape = self._only_input()
        if not all(isinstance(size, int) for size in shape):
            raise ValueError(f"The time depends on the size. Received: open axes, {shape}")
        image = {name: np.zeros((self.batch or 1, *shape), self._types[0])}
        milliseconds = []
        for _ in range(runs // 10 + runs):
            start = time.perf_counter()
            self.session.run(None, image)
            milliseconds.append(1e3 * (time.perf_counter() - start))
        p50, p99 = np.percentile(milliseconds[-runs:], (50, 99))
        return {"p50": float(p50), "p99": float(p99)}

    def read_image(self, path) -> np.ndarray:
        """Reads a `.npy` file unchanged, or an image file as pixels of the model's size."""
        shape = self._only_input()[1]
        try:
            if Path(path).suffix.lower() == ".npy":
                return np.load(path, allow_pickle=False)
            sizes = shape[1:] + shape[:1] if self.layout == "channels_first" else shape
            if len(sizes) != 3 or sizes[2] not in (1, 3):
                raise ValueError(f"The model takes arrays of shape {shape}. Pass them as .npy.")
            from PIL import Image, ImageOps

            with Image.open(path) as image:
                image = ImageOps.exif_transpose(image)  # Phones store how they were held.
                if image.mode in ("I", "F") or image.mode.startswith("I;"):
                    raise ValueError(
                        f"its pixels have more than 8 bits ({image.mode}). Pass an array as .npy."
                    )
                image = image.convert("L" if sizes[2] == 1 else "RGB")
                height, width = map(_size, sizes, (image.height, image.width))
                image = image.resize((width, height), Image.Resampling.BILINEAR)
                pixels = np.asarray(image, "uint8").reshape(height, width, sizes[2])
                return pixels if sizes is shape else pixels.transpose(2, 0, 1)
        except ImportError as error:
            raise ValueError(
                f"{path} is an image file. Install pillow to read it, or pass an array as .npy."
            ) from error
        except (FileNotFoundError, IsADirectoryError) as error:
            raise ValueError(f"{path} cannot be read: {error.strerror}. Pass a file.") from error
        except (OSError, EOFError, ValueError) as error:
            raise DamagedFileError(f"{path} cannot be read: {error}") from error

    def _only_input(self):
        if len(self.shapes) != 1:
            raise ValueError(
                f"The model has the inputs {', '.join(self.shapes)}. Call the predictor with them."
            )
        return next(iter(self.shapes.items()))

    def _batch_of(self, name, array):
        """Returns an array with a batch axis, if its shape fits the input."""
        array, shape = np.asarray(array), self.shapes[name]
        array = array[None] if array.ndim == len(shape) else array
        if array.ndim != 1 + len(shape) or array.shape[1:] != (
            *map(_size, shape, array.shape[1:]),
        ):
            raise ValueError(
                f"The input {name} takes arrays of shape (batch, {', '.join(map(str, shape))}). "
                f"Received: {array.shape}"
            )
        return array

    def _prediction(self, scores):
        names = self.labels or list(map(str, range(max(2, len(scores)))))
        best = int(np.argmax(scores))
        label = names[best]
        if self.task == "labels":
            label = ", ".join(names[i] for i in np.flatnonzero(scores >= self.threshold)) or "none"
        elif self.task == "binary":
            label = names[int(scores[0] >= self.threshold)]
        return Prediction(label, float(scores[best]), scores)


def _size(expected, given):
    """Returns the size of an axis: the expected one, or the given one if any is possible."""
    return expected if isinstance(expected, int) else given


def main(arguments: list[str] | None = None) -> int:
    """Runs the command line, and returns its exit code."""
    parser = _Parser(
        prog="python -m export.device",
        description="Classifies images with an exported model.",
        epilog=_EXIT_CODES,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("model", help="an ONNX file that export.to_onnx wrote")
    parser.add_argument("images", nargs="+", help="image files, or .npy arrays of one or many")
    parser.add_argument("--threads", type=int, default=0, help="for one inference (default: all)")
    parser.add_argument("--latency", action="store_true", help="time single images as well")
    parser.add_argument("--json", action="store_true", help="print one JSON object instead")
    try:
        options = parser.parse_args(arguments)
        predictor = Predictor(options.model, options.threads)
        rows = []
        for path in options.images:
            predictions = predictor.predict(predictor.read_image(path))
            for number, prediction in enumerate(predictions):
                name = path if len(predictions) == 1 else f"{path}[{number}]"
                rows.append({"image": name, "label": prediction.label, "score": prediction.score})
        latency = predictor.latency() if options.latency else None
    except ValueError as error:
        print(f"device: {error}", file=sys.stderr)
        return 4 if isinstance(error, DamagedFileError) else 5
    if options.json:
        print(json.dumps({"predictions": rows, "latency_ms": latency}))
        return 0
    for row in rows:
        print(f"{row['image']}  {row['label']}  {row['score']:.4f}")
    if latency:
        p50, p99 = latency.values()
        print(f"latency at batch {predictor.batch or 1}: p50 {p50:.2f} ms, p99 {p99:.2f} ms")
    return 0


class _Parser(argparse.ArgumentParser):
    def error(self, message):
        raise ValueError(f"{message}\n{self.format_usage().strip()}")


if __name__ == "__main__":
    sys.exit(main())
