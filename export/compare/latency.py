"""Measures how long a file runs on this machine."""

import json
import time

import numpy as np
import onnx

from export.compare.run import session
from export.results import Latency

_RUNS = 200
_SECONDS = 0.2


def latency_ms(file: onnx.ModelProto, content: bytes) -> dict[str, Latency]:
    """Briefly times single samples of zeros, or batches of a fixed size.

    Open axes have the last sizes at which the file was compared.

    Returns:
        Milliseconds by number of threads.
    """
    stored = {entry.key: entry.value for entry in file.metadata_props}
    sizes = json.loads(stored.get("sizes", "[{}]"))[-1]
    inputs = {
        value.name: np.zeros(
            [
                dim.dim_value or sizes.get(dim.dim_param, 1)
                for dim in value.type.tensor_type.shape.dim
            ],
            onnx.helper.tensor_dtype_to_np_dtype(value.type.tensor_type.elem_type),
        )
        for value in file.graph.input
    }
    measured = {}
    for name, threads in (("1 thread", 1), ("all threads", 0)):
        runner = session(content, threads=threads)
        runner.run(None, inputs)
        times = []
        while len(times) < _RUNS and sum(times) < 1e3 * _SECONDS:
            start = time.perf_counter()
            runner.run(None, inputs)
            times.append(1e3 * (time.perf_counter() - start))
        p50, p99 = np.percentile(times, (50, 99))
        measured[name] = Latency(float(p50), float(p99))
    return measured
