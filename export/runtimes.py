"""Finds the releases of onnxruntime that run an opset and IR version."""

import re
from importlib.metadata import version as installed

from export.errors import UsageError

DEFAULT_OPSET = 17
OPSETS = range(13, 19)
"""Opsets in which tf2onnx writes the softmax axis of the layers correctly."""

OLDEST_FOR_ORT = "1.16"
"""First onnxruntime that reads version 6 of the `.ort` format, which all later ones write."""

# The newest opset and IR version of each release, from the list at
# onnxruntime.ai/docs/reference/compatibility. Later releases run all of `OPSETS`, because each
# release runs what the earlier ones do.
_RELEASES = {
    (1, 6): (13, 7),
    (1, 7): (13, 7),
    (1, 8): (14, 7),
    (1, 9): (15, 8),
    (1, 10): (15, 8),
    (1, 11): (16, 8),
    (1, 12): (17, 8),
    (1, 13): (17, 8),
    (1, 14): (18, 8),
}


def choose_opset(opset: int | None, minimum: str | None) -> int:
    """Returns the opset to write: by default 17, or the newest that an older onnxruntime runs.

    Opset 18 is written only on request. No layer profits from it, and it keeps Transposes that 17
    does not.

    Raises:
        UsageError: If the opset cannot be written, or the oldest onnxruntime cannot run it.
    """
    newest = OPSETS[-1] if minimum is None else _newest_of(minimum)[0]
    if opset is None:
        return min(DEFAULT_OPSET, newest)
    if opset not in OPSETS:
        raise UsageError(
            f"The opset must be from {OPSETS[0]} to {OPSETS[-1]}, which tf2onnx can write. "
            f"Received: opset={opset}"
        )
    if opset > newest:
        first = next(release for release, (runs, _) in _RELEASES.items() if runs >= opset)
        raise UsageError(
            f"onnxruntime {minimum} runs opsets up to {newest}. Pass an opset from {OPSETS[0]} to "
            f"{newest}, or an onnxruntime from {_text(first)} on. Received: opset={opset}"
        )
    return opset


def oldest_for(opset: int, ir_version: int) -> str:
    """Returns the oldest onnxruntime that runs an opset and IR version, such as `"1.12"`."""
    return next(
        _text(release)
        for release, (newest, ir) in _RELEASES.items()
        if opset <= newest and ir_version <= ir
    )


def runs(minimum: str, opset: int, ir_version: int) -> bool:
    """Returns whether this onnxruntime, and so every later one, runs an opset and IR version."""
    newest, ir = _newest_of(minimum)
    return opset <= newest and ir_version <= ir


def check_ort(minimum: str | None) -> None:
    """Raises a `UsageError` if the oldest onnxruntime cannot read today's `.ort` files."""
    if minimum is not None and _parsed(minimum) < _parsed(OLDEST_FOR_ORT):
        raise UsageError(
            f"The .ort format is read by onnxruntime {OLDEST_FOR_ORT} and later. Earlier ones read "
            f"only the ONNX file. Received: min_onnxruntime={minimum!r} with ort"
        )


def _newest_of(minimum):
    oldest, last = next(iter(_RELEASES)), _parsed(installed("onnxruntime"))
    known = isinstance(minimum, str) and re.fullmatch(r"\d+\.\d+(\.\d+)?", minimum)
    if not known or not oldest <= _parsed(minimum) <= last:
        raise UsageError(
            f"The minimum onnxruntime must be a release from {_text(oldest)} on, the first that "
            f"runs opset {OPSETS[0]}, to {_text(last)}, which is installed here. "
            f"Received: {minimum!r}"
        )
    return _RELEASES.get(_parsed(minimum), (OPSETS[-1], max(ir for _, ir in _RELEASES.values())))


def _parsed(release):
    major, minor = release.split(".")[:2]
    return int(major), int(minor)


def _text(release):
    return ".".join(map(str, release))
