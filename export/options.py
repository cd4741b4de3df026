"""What can be chosen in an export."""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from export import runtimes
from export.errors import UsageError

LAYOUTS = ("channels_last", "channels_first")
PROFILES = ("cpu", "web", "mobile")
ORT_SUFFIXES = (".ort", ".required_operators.config")
"""Of the file in onnxruntime's own format, and of its list of operators."""

ROUTES = {"tf2onnx": "tensorflow", "torch": "torch", "jax": "jax"}
"""Ways to convert, and the backend that each runs on."""

PRECISIONS = ("float32", "float16", "int8")
"""Precisions of the file; the model computes in float32."""


@dataclass(frozen=True, kw_only=True)
class ExportOptions:
    """The keyword arguments of `export.export_onnx`, which documents them.

    Raises:
        UsageError: If one cannot be had.
    """

    opset: int | None
    via: str
    outputs: Sequence[str] | None
    labels: list[str] | None
    data: dict[str, Any] | None
    input_range: tuple[float, float]
    precision: str
    max_drop: float
    force: bool
    min_onnxruntime: str | None = None
    batch: int | None = None
    preprocess: bool = False
    mean: Sequence[float] | None = None
    std: Sequence[float] | None = None
    layout: str | None = None
    ort: bool = False
    profile: str | None = None

    def __post_init__(self):
        opset = runtimes.choose_opset(self.opset, self.min_onnxruntime)
        object.__setattr__(self, "opset", opset)  # As frozen dataclasses set what they derive.
        if self.via not in ROUTES:
            raise UsageError(f"The routes are {', '.join(ROUTES)}. Received: via={self.via!r}")
        if self.precision not in PRECISIONS:
            raise UsageError(
                f"The precisions are {', '.join(PRECISIONS)}. Received: "
                f"precision={self.precision!r}"
            )
        if self.precision == "int8" and self.data is None:
            raise UsageError(
                "int8 is calibrated on real inputs. Pass some, with their right labels if you have "
                "them: --data FILE, in Python data={input name: array, 'labels': array}."
            )
        if not 0 <= self.max_drop <= 100:
            raise UsageError(
                "The largest drop is in percentage points, from 0 to 100. Received: "
                f"max_drop={self.max_drop}"
            )
        if not -math.inf < self.input_range[0] < self.input_range[1] < math.inf:
            raise UsageError(
                f"The input range must rise and be finite. Received: input_range={self.input_range}"
            )
        if self.ort:
            runtimes.check_ort(self.min_onnxruntime)
        if self.batch is not None and self.batch < 1:
            raise UsageError(f"The batch must be 1 or more, or stay open. Received: {self.batch}")
        if self.batch is not None and self.via != "tf2onnx":
            raise UsageError(
                f"Only tf2onnx fixes the batch. Received: via={self.via!r}, batch={self.batch}"
            )
        given = [name for name in ("mean", "std", "layout") if getattr(self, name) is not None]
        if given and not self.preprocess:
            raise UsageError(
                f"{' and '.join(given)} would be baked into the file: add --preprocess (in Python: "
                "preprocess=True)."
            )
        if self.layout not in (None, *LAYOUTS):
            raise UsageError(f"The layout must be one of {LAYOUTS}. Received: {self.layout!r}")
        mean, std = list(self.mean or ()), list(self.std or ())
        if not all(map(math.isfinite, mean + std)) or min(std, default=1) <= 0:
            raise UsageError(
                "The means must be finite, and the standard deviations finite and above 0. "
                f"Received: mean={mean}, std={std}"
            )
        if self.profile is not None and self.profile not in PROFILES:
            raise UsageError(
                f"The profile must be one of {', '.join(PROFILES)}. Received: {self.profile!r}"
            )
