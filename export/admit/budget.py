"""Runs a function in another thread, and stops it when it takes too much time or memory."""

import ctypes
import math
import sys
import threading
import time
from collections.abc import Callable
from concurrent.futures import Future
from pathlib import Path
from typing import TypeVar

from export.errors import RefusedInputError

Result = TypeVar("Result")

_LOOK = 0.05  # Seconds between two looks at the thread.
_TRIES = 100
_STATUS = Path("/proc/self/statm")  # Linux only: elsewhere only the time is limited.
_PAGE = 4096


def run_within(
    function: Callable[[], Result], seconds: float, doing: str, size: float = math.inf
) -> Result:
    """Returns the result of a function that runs in a thread.

    The time is that of the processor, so that a busy machine changes nothing.

    Args:
        function: Function without arguments.
        seconds: The time that it may take.
        doing: What the function does, in words, for the message.
        size: Bytes by which the process may grow meanwhile.

    Raises:
        RefusedInputError: If the function was stopped.
    """
    future: Future[Result] = Future()

    def run():
        try:
            future.set_result(function())
        except Exception as error:  # The caller gets it.
            future.set_exception(error)

    thread = threading.Thread(target=run, daemon=True)
    before, start = _resident(), time.perf_counter()
    thread.start()
    excess = None
    while thread.is_alive() and excess is None:
        thread.join(_LOOK)
        excess = _excess(thread, start, seconds, before, size)
    if excess is None:
        return future.result()
    for _ in range(_TRIES):  # The step may be a long one, or catch the exception.
        _stop(thread)
        thread.join(_LOOK)
    raise RefusedInputError(
        f"{doing} takes more than {excess}, more than the size of the file explains. If you trust "
        "the file, load it with keras.saving.load_model and pass the model: "
        "export.export_onnx(model, target)."
    )


def _excess(thread, start, seconds, before, size):
    """Returns what a thread takes too much of, in words, or `None`."""
    if _seconds(thread, start) > seconds:
        return f"{seconds:.0f} seconds"
    return f"{size / 2**20:.0f} MiB" if _resident() - before > size else None


def _seconds(thread, start):
    elapsed = time.perf_counter() - start
    if elapsed < 1 or sys.platform != "linux":
        return elapsed
    try:
        return time.clock_gettime(time.pthread_getcpuclockid(thread.ident))
    except OSError:  # It ended just now.
        return 0.0


def _resident():
    return int(_STATUS.read_text().split()[1]) * _PAGE if _STATUS.exists() else 0


def _stop(thread):
    """Ends a thread between two steps of Python; a thread says nothing of a SystemExit."""
    ctypes.pythonapi.PyThreadState_SetAsyncExc(
        ctypes.c_ulong(thread.ident), ctypes.py_object(SystemExit)
    )
