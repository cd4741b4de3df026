"""Declares the options of an export, with type, default and text of each in one place."""

import argparse
import inspect
import math
import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass, fields
from typing import Any

from export import runtimes
from export.errors import UsageError

LAYOUTS = ("channels_last", "channels_first")
PROFILES = ("cpu", "web", "mobile")
TASKS = ("classes", "labels", "binary", "regression", "segmentation")

ROUTES = {"tf2onnx": "tensorflow", "torch": "torch", "jax": "jax"}
"""The converters, each with the backend that it runs on."""

CONTROL_FLOW = ("If", "Loop", "Scan")  # A file holds them only if they are allowed.
PRECISIONS = ("float32", "float16", "int8", "auto")  # Of the file. The model has float32.


@dataclass(frozen=True, kw_only=True)
class ExportOptions:
    """The options of `export.export_onnx` and of `python -m export.to_onnx`.

    The command line and the signature of `export_onnx` are made from this class and these texts.

    Args:
        opset: Version of ONNX' operators, 13 to 18. The default is 17, which every onnxruntime
            since 1.12 runs, or else the newest that `min_onnxruntime` runs.
        min_onnxruntime: Oldest onnxruntime that must run the file, such as 1.10.
        batch: Only batch size, for a file without open axes. The default, on the command line also
            called dynamic, allows any size.
        sizes: Sizes at which a model with open axes is compared, by the name of the axis: height,
            width or length, or the name of the input and the number of the axis. The default are
            five sizes at which the model runs, among them the smallest. On the command line
            height=32,225 width=32,64.
        via: The converter: tf2onnx, with the same file on every backend, or torch or jax, which are
            Keras' exports on these backends.
        input_shapes: Shapes of one sample for each input, if the model is subclassed and was never
            called, or was called on other sizes: a tuple such as (28, 28, 1), with None for an open
            size, or a list or dictionary of tuples. A keras.InputSpec in place of a tuple gives the
            type too. On the command line 28,28,1 or image=28,28,1 tokens=None.
        outputs: The outputs of the file, some of scores, poses, activations, coupling, map,
            reconstruction and gates; see `keras_capsules.explain.explained_model`. The default is
            the model's outputs. On the command line, names separated by commas.
        labels: Names of the classes, one for each column of the output scores, or of the first
            output if none has this name. They are stored in the file. On the command line, a text
            file with one name per line.
        data: Real inputs for the comparison, arrays by input name. An additional array labels has
            the right labels, by which reduced precision is judged. If there are more than 256
            samples, 256 are compared in every setting and all of them once, by score. On the
            command line, an .npz file.
        input_range: Inputs for a black and a white pixel, stored in the file. By default the first
            layers tell, such as a Rescaling, or else the data. Without both they are 0 and 1.
        preprocess: Put the preprocessing into the file, which then takes pixels as uint8: 0 to 255
            becomes `input_range`, then `mean` is subtracted and the result is divided by `std`.
        mean: Mean that `preprocess` subtracts, in units of `input_range`: one value, or one for
            each channel.
        std: Standard deviation by which `preprocess` divides: one value, or one for each channel.
        layout: Layout of the pixels: channels_last, the default, or channels_first.
        ort: Also write a copy in onnxruntime's format, .ort, and the list of operators for a build.
        c: Also write a program of C99 for microcontrollers: .c, .h and _selftest.c. A call is one
            sample.
        ram: Largest number of bytes of RAM that the program of C may need.
        profile: Report the nodes that the providers of cpu, web or mobile leave to the CPU.
        precision: float32, float16, int8 or auto. The float32 file is made and compared first. int8
            needs `data`: it is calibrated on up to 256 samples, at most half of them, and judged on
            the others. auto tries both, int8 only with `data`, and writes the smallest file that
            loses at most `max_drop` and is not slower than float32 on this machine.
        max_drop: Accuracy that float16 or int8 may lose, in percentage points. It counts right
            labels if `data` has them, else agreement with the model.
        task: What the scores mean: classes, labels for several at once, binary for one score,
            regression or segmentation. By default the last activation decides. Reduced precision is
            judged by it.
        threshold: Smallest score of a label that is present, for the tasks labels and binary.
        allow: Control flow that the file may hold, some of If, Loop and Scan. The report names the
            devices that leave it to the CPU. On the command line, names separated by commas.
        force: Replace an existing file, and remove its old .ort copy and list of operators.

    Raises:
        UsageError: If an option has a value that is not available.
    """

    opset: int | None = None
    min_onnxruntime: str | None = None
    batch: int | None = None
    sizes: dict[str, Sequence[int]] | None = None
    via: str = "tf2onnx"
    input_shapes: Any = None
    outputs: Sequence[str] | None = None
    labels: Sequence[str] | None = None
    data: dict[str, Any] | None = None
    input_range: tuple[float, float] | None = None
    preprocess: bool = False
    mean: Sequence[float] | None = None
    std: Sequence[float] | None = None
    layout: str | None = None
    ort: bool = False
    c: bool = False
    ram: int | None = None
    profile: str | None = None
    precision: str = "float32"
    max_drop: float = 0.5
    task: str | None = None
    threshold: float = 0.5
    allow: Sequence[str] = ()
    force: bool = False

    def __post_init__(self):
        _ = self.target_opset  # Raises an error if no runtime has it.
        if self.ort:
            runtimes.check_ort(self.min_onnxruntime)
        _check_choice("routes", "via", self.via, ROUTES)
        _check_choice("precisions", "precision", self.precision, PRECISIONS)
        _check_choice("layouts", "layout", self.layout, (None, *LAYOUTS))
        _check_choice("profiles", "profile", self.profile, (None, *PROFILES))
        _check_choice("tasks", "task", self.task, (None, *TASKS))
        for operation in self.allow:
            _check_choice("operations that can be allowed", "allow", operation, CONTROL_FLOW)
        try:
            self._check_precision()
            self._check_c()
            self._check_batch()
            self._check_preprocessing()
        except TypeError as error:  # Such as a number in place of a pair.
            raise UsageError(f"An option has another type than documented: {error}") from error

    @property
    def target_opset(self) -> int:
        """The version of ONNX' operators to write."""
        return runtimes.choose_opset(self.opset, self.min_onnxruntime)

    @property
    def limits(self) -> tuple[float, float]:
        """The input range, 0 to 1 if none is given."""
        return self.input_range or (0.0, 1.0)

    @property
    def preprocessing(self) -> dict[str, Any]:
        """The preprocessing, and whether the file or the device does it, as stored in the file."""
        steps = {"input_range": [float(limit) for limit in self.limits]}
        if not self.preprocess:
            return {"by": "device", **steps}
        return {
            "by": "file",
            "pixels": "uint8",
            "layout": self.layout or "channels_last",
            **steps,
            "mean": [0.0] if self.mean is None else [float(value) for value in self.mean],
            "std": [1.0] if self.std is None else [float(value) for value in self.std],
        }

    def _check_precision(self):
        if self.precision == "int8" and (self.data is None or len(self.data) == 0):
            raise UsageError(
                "int8 is calibrated on real inputs. Pass some, with their right labels if you have "
                "them: --data FILE, in Python data={input name: array, 'labels': array}."
            )
        if self.allow and self.precision != "float32":
            raise UsageError(
                "A file with control flow stays in float32. Leave out allow, or the precision. "
                f"Received: allow={list(self.allow)}, precision={self.precision!r}"
            )
        if not 0 <= self.max_drop <= 100:
            raise UsageError(
                "The largest drop is in percentage points, from 0 to 100. Received: "
                f"max_drop={self.max_drop}"
            )

    def _check_c(self):
        if self.c and self.precision != "float32":
            raise UsageError(f"C computes in float32. Received: precision={self.precision!r}")
        if self.ram is not None and (self.ram < 1 or not self.c):
            raise UsageError(
                "The RAM is that of a program of C, in bytes: --c --ram 65536 (in Python: c=True, "
                f"ram=65536). Received: c={self.c}, ram={self.ram}"
            )

    def _check_batch(self):
        if self.batch is not None and self.batch < 1:
            raise UsageError(f"The batch must be 1 or more, or stay open. Received: {self.batch}")
        for name, sizes in (self.sizes or {}).items():
            if not sizes or not all(isinstance(size, int) and size > 0 for size in sizes):
                raise UsageError(
                    "The sizes of an axis are whole numbers above 0, such as height=32,225. "
                    f"Received: {name}={sizes}"
                )
        if self.batch is not None and self.via != "tf2onnx":
            raise UsageError(
                f"Only tf2onnx fixes the batch. Received: via={self.via!r}, batch={self.batch}"
            )

    def _check_preprocessing(self):
        limits = tuple(self.limits)
        if len(limits) != 2 or not -math.inf < limits[0] < limits[1] < math.inf:
            raise UsageError(
                f"The input range is a pair. It must rise and be finite. Received: {limits}"
            )
        given = [name for name in ("mean", "std", "layout") if getattr(self, name) is not None]
        if given and not self.preprocess:
            raise UsageError(
                f"{' and '.join(given)} would be put into the file: add --preprocess (in Python: "
                "preprocess=True)."
            )
        mean, std = list(self.mean or ()), list(self.std or ())
        if not all(map(math.isfinite, mean + std)) or min(std, default=1) <= 0:
            raise UsageError(
                "The means must be finite, and the standard deviations finite and above 0. "
                f"Received: mean={mean}, std={std}"
            )


def _check_choice(kind, name, value, allowed):
    if value not in allowed:
        names = ", ".join(choice for choice in allowed if choice is not None)
        raise UsageError(f"The {kind} are {names}. Received: {name}={value!r}")


def _batch(text):
    if text != "dynamic" and not text.isdecimal():
        raise argparse.ArgumentTypeError(f"a number or 'dynamic' is needed, not {text!r}")
    return None if text == "dynamic" else int(text)


def _shape(text):
    """Parses one shape, `28,28,1`, and its name if it has one, `image=28,28,1`."""
    name, _, sizes = text.rpartition("=")
    try:
        return name, tuple(None if s == "None" else int(s) for s in sizes.split(",") if s)
    except ValueError:
        raise argparse.ArgumentTypeError(
            f"sizes such as 28,28,1 or image=28,28,1 are needed, not {text!r}"
        ) from None


def shapes_of(parsed: list[tuple[str, tuple]]) -> Any:
    """Returns parsed shapes as `ExportOptions` takes them."""
    if all(name for name, _ in parsed):
        return dict(parsed)
    shapes = [shape for _, shape in parsed]
    return shapes[0] if len(shapes) == 1 else shapes


_PARSED = {
    "opset": {"type": int, "metavar": "N"},
    "min_onnxruntime": {"metavar": "1.X"},
    "batch": {"type": _batch, "metavar": "N"},
    "sizes": {"type": _shape, "nargs": "+", "metavar": "AXIS=N,N"},
    "via": {"metavar": "ROUTE"},
    "input_shapes": {"type": _shape, "nargs": "+", "metavar": "SHAPE"},
    "outputs": {"type": lambda text: text.split(","), "metavar": "NAMES"},
    "labels": {"metavar": "FILE"},
    "data": {"metavar": "FILE"},
    "input_range": {"type": float, "nargs": 2, "metavar": ("LOW", "HIGH")},
    "mean": {"type": float, "nargs": "+", "metavar": "M"},
    "std": {"type": float, "nargs": "+", "metavar": "S"},
    "layout": {"choices": LAYOUTS},
    "ram": {"type": int, "metavar": "BYTES"},
    "profile": {"choices": PROFILES},
    "precision": {"metavar": "NAME"},
    "max_drop": {"type": float, "metavar": "POINTS"},
    "task": {"choices": TASKS},
    "threshold": {"type": float, "metavar": "SCORE"},
    "allow": {"type": lambda text: text.split(","), "metavar": "NAMES"},
}


def add_to_parser(parser: argparse.ArgumentParser) -> None:
    """Adds a flag for each option. The result lacks the options that are not given."""
    texts = dict(re.findall(r"\n {8}(\w+): (.+(?:\n {12}.+)*)", ExportOptions.__doc__ or ""))
    for option in fields(ExportOptions):
        text = re.sub(r"\s+", " ", texts.get(option.name, ""))
        text = re.sub(r"`(\w+)`", lambda match: flag_of(match[1]), text)
        if option.default not in (None, False, ()):
            text += f" (default: {option.default})"
        settings = _PARSED.get(option.name, {"action": "store_true"})
        parser.add_argument(flag_of(option.name), default=argparse.SUPPRESS, help=text, **settings)


def flag_of(name: str) -> str:
    """Returns the flag of an option."""
    return f"--{name.replace('_', '-')}"


def document(function: Callable) -> None:
    """Gives a function with `**changes` the signature and the texts of `ExportOptions`.

    The texts replace the line `{options}` of its docstring.
    """
    signature = inspect.signature(function)
    own = [p for p in signature.parameters.values() if p.kind is not p.VAR_KEYWORD]
    options = inspect.signature(ExportOptions).parameters.values()
    setattr(function, "__signature__", signature.replace(parameters=[*own, *options]))  # noqa: B010
    if function.__doc__ and ExportOptions.__doc__:  # Python may drop docstrings.
        texts = ExportOptions.__doc__.split("Args:\n")[1].split("\n\n")[0]
        function.__doc__ = function.__doc__.replace("        {options}", texts)
