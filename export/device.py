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
        label: Name of the class with the largest score, or its number if the file has no names.
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

    Attributes:
        labels: List of class names, or `None`.
        input_range: Pair of floats: the inputs for a black and a white pixel.
        shapes: Shape of one sample of each input, by name.
        layout: Layout of the images, `"channels_last"` or `"channels_first"`.
        batch: Size of the batches that the file takes, or `None` if it takes any.

    Raises:
        ValueError: If there is no such file.
        DamagedFileError: If onnxruntime cannot load the file. It is a `ValueError` too.

    Example:

    >>> predictor = Predictor("digits.onnx")
    >>> predictor.predict(np.zeros((1, 28, 28, 1), "uint8"))[0].label
    '1'
    """

    def __init__(self, path, threads: int = 0):
        if not Path(path).is_file():
            raise ValueError(f"There is no file {path}. Pass the path of an ONNX file.")
        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = threads
        options.log_severity_level = 3
        try:
            self.session = onnxruntime.InferenceSession(
                str(path), options, providers=["CPUExecutionProvider"]
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
        self.layout = preprocessing.get("layout", "channels_last")
        first_axis = self.session.get_inputs()[0].shape[0]
        self.batch = first_axis if isinstance(first_axis, int) else None
        self._types = [_TYPES.get(value.type, "float32") for value in self.session.get_inputs()]

    def run(self, inputs: dict[str, np.ndarray]) -> dict[str, np.ndarray]:
        """Runs the model once.

        Args:
            inputs: Arrays `(batch, ...)` by input name, as the model was trained on them.

        Returns:
            Arrays `(batch, ...)` by output name.
        """
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
            ValueError: If the images do not have the model's shape, if they are integers of another
                type than uint8, if they are not uint8 although the file takes pixels, or if the
                model has several inputs or gives no scores.
        """
        name, shape = self._only_input()
        images = np.asarray(images)
        if images.shape == shape:
            images = images[None]
        if images.shape[1:] != shape:
            raise ValueError(
                f"The model expects images of shape (batch, {', '.join(map(str, shape))}). "
                f"Received: {images.shape}"
            )
        if self._types[0].startswith("float"):
            if images.dtype == np.uint8:
                low, high = self.input_range
                images = low + images * ((high - low) / 255)
            elif images.dtype.kind != "f":
                raise ValueError(
                    "Pass pixels from 0 to 255 as uint8, or floats in the range of the model's "
                    f"training, {self.input_range}. Received: {images.dtype}"
                )
        elif self._types[0] == "uint8" and images.dtype != np.uint8:
            raise ValueError(
                "The file takes raw pixels from 0 to 255 and scales them. Pass uint8. "
                f"Received: {images.dtype}"
            )
        predictions, size = [], self.batch or _CHUNK
        for start in range(0, len(images), size):
            chunk = images[start : start + size].astype(self._types[0])
            filled = chunk if self.batch is None else np.resize(chunk, (size, *shape))
            outputs = self.run({name: filled})
            scores = outputs.get("scores", next(iter(outputs.values())))
            if scores.ndim != 2:
                raise ValueError(
                    "The model gives no scores, one row for each image. `Predictor.run` returns "
                    f"its outputs unchanged. Received: an output of shape {scores.shape}"
                )
            predictions.extend(self._prediction(row) for row in scores[: len(chunk)])
        return predictions

    def latency(self, runs: int = 300) -> dict[str, float]:
        """Times single images of zeros, or complete batches if the file takes nothing else.

        Args:
            runs: Integer. Number of runs that count. A tenth as many run before and do not count.

        Returns:
            Milliseconds `p50`, which half of the runs did not exceed, and `p99`.
        """
        name, shape = self._only_input()
        image = {name: np.zeros((self.batch or 1, *shape), self._types[0])}
        milliseconds = []
        for _ in range(runs // 10 + runs):
            start = time.perf_counter()
            self.session.run(None, image)
            milliseconds.append(1e3 * (time.perf_counter() - start))
        p50, p99 = np.percentile(milliseconds[-runs:], (50, 99))
        return {"p50": float(p50), "p99": float(p99)}

    def read_image(self, path) -> np.ndarray:
        """Reads a `.npy` file unchanged, or an image file as pixels of the model's size.

        Raises:
            ValueError: If the file cannot be read.
        """
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
                        f"its pixels have more than 8 bits (mode {image.mode}). Pass an array "
                        "in the model's range as .npy."
                    )
                image = image.convert("L" if sizes[2] == 1 else "RGB")
                image = image.resize((sizes[1], sizes[0]), Image.Resampling.BILINEAR)
                pixels = np.asarray(image, "uint8").reshape(sizes)
                return pixels if sizes is shape else pixels.transpose(2, 0, 1)
        except ImportError as error:
            raise ValueError(
                f"{path} is an image file. Install pillow to read it, or pass an array as .npy."
            ) from error
        except (FileNotFoundError, IsADirectoryError) as error:
            raise ValueError(
                f"{path} cannot be read: {error.strerror}. Pass an image file or .npy array."
            ) from error
        except (OSError, EOFError, ValueError) as error:
            raise DamagedFileError(f"{path} cannot be read: {error}") from error

    def _only_input(self):
        if len(self.shapes) != 1:
            raise ValueError(
                f"The model has several inputs, {', '.join(self.shapes)}. Pass them to `run`."
            )
        return next(iter(self.shapes.items()))

    def _prediction(self, scores):
        best = int(np.argmax(scores))
        label = self.labels[best] if self.labels else str(best)
        return Prediction(label, float(scores[best]), scores)


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
            count = len(predictions)
            names = [path] if count == 1 else [f"{path}[{i}]" for i in range(count)]
            rows += [
                {"image": name, "label": prediction.label, "score": prediction.score}
                for name, prediction in zip(names, predictions, strict=True)
            ]
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
