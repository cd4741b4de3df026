"""What can be chosen in an export."""

import math
from dataclasses import dataclass
from typing import Any

from export.errors import UsageError

OPSETS = range(13, 19)
"""Opsets that tf2onnx can write with the layers' softmax axis right."""

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

    opset: int
    via: str
    labels: list[str] | None
    data: dict[str, Any] | None
    input_range: tuple[float, float]
    precision: str
    max_drop: float
    force: bool

    def __post_init__(self):
        if self.opset not in OPSETS:
            raise UsageError(
                f"The opset must be from {OPSETS[0]} to {OPSETS[-1]}, which tf2onnx can write. "
                f"Received: opset={self.opset}"
            )
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
