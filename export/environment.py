"""The machine of an export, and how fast the file is on it."""

import os
import platform
import time
from pathlib import Path

import numpy as np
import onnx
import onnxruntime

_RUNS = 200
_SECONDS = 0.2


def facts() -> dict[str, str]:
    """Returns what identifies the machine."""
    return {
        "python": platform.python_version(),
        "os": platform.platform(),
        "cpu": _processor(),
        "cores": str(os.cpu_count()),
    }


def _processor():
    try:
        lines = Path("/proc/cpuinfo").read_text().splitlines()
    except OSError:  # Linux alone has it.
        lines = []
    names = [line.partition(":")[2].strip() for line in lines if line.startswith("model name")]
    return names[0] if names else platform.processor() or platform.machine()


def latency_ms(file: onnx.ModelProto, content: bytes) -> dict[str, dict[str, float]]:
    """Times single samples of zeros, or whole batches of a fixed size, for a moment only.

    Returns:
        Milliseconds `p50` and `p99` by number of threads.
    """
    inputs = {
        value.name: np.zeros(
            [dim.dim_value or 1 for dim in value.type.tensor_type.shape.dim],
            onnx.helper.tensor_dtype_to_np_dtype(value.type.tensor_type.elem_type),
        )
        for value in file.graph.input
    }
    found = {}
    for name, threads in (("1 thread", 1), ("all threads", 0)):
        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = threads
        options.log_severity_level = 3
        session = onnxruntime.InferenceSession(content, options, providers=["CPUExecutionProvider"])
        session.run(None, inputs)
        times = []
        while len(times) < _RUNS and sum(times) < 1e3 * _SECONDS:
            start = time.perf_counter()
            session.run(None, inputs)
            times.append(1e3 * (time.perf_counter() - start))
        p50, p99 = np.percentile(times, (50, 99))
        found[name] = {"p50": float(p50), "p99": float(p99)}
    return found
