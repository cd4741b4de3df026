"""Takes the smallest precision that loses little and is not slower, measured on this machine."""

from dataclasses import replace

import onnx

from export.options import ExportOptions
from export.reduce.int8 import quantizable_products
from export.results import Judgement, Row

_SLOWER = 1.05
"""Ratio of times up to which two files count as equally fast."""


def candidates(file: onnx.ModelProto, options: ExportOptions) -> list[str]:
    """Returns the precisions to try besides float32. int8 needs data, and something to quantize."""
    int8 = options.data is not None and quantizable_products(file.graph)
    return ["float16", "int8"] if int8 else ["float16"]


def chosen(tried: list[Judgement]) -> Judgement:
    """Returns the judgement of the smallest file, of float32 if no other one is good.

    Args:
        tried: The judgements of the reduced files, each with the rows of float32 and of its file.

    Returns:
        A `Judgement` with the rows of all.
    """
    first = tried[0]
    rows = [first.rows[0], *(judgement.rows[1] for judgement in tried)]
    good = [judgement for judgement in tried if judgement.passed and _gains(*judgement.rows)]
    if good:
        return replace(min(good, key=lambda judgement: judgement.rows[1].bytes), rows=rows)
    drop = first.model - rows[0].score
    return replace(first, precision="float32", drop=drop, rows=rows, comparisons=[], passed=True)


def _gains(float32: Row, reduced: Row) -> bool:
    return reduced.bytes < float32.bytes and reduced.latency_ms <= _SLOWER * float32.latency_ms
