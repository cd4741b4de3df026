"""What a head costs: seconds of an epoch of `mnist` on a backend, and the exported file.

`python -m benchmarks.settle --cost` starts `python -m benchmarks.settle.cost HEAD` for each head
and backend, and keeps its last line.
"""

import argparse
import json
import statistics
import tempfile
import time
from pathlib import Path

import keras
import numpy as np

from benchmarks import results
from benchmarks.settle import heads, tasks
from benchmarks.settle.runs import BATCH
from keras_capsules.datasets.augmentation import ImageBatches

FILE = "cost.jsonl"
BACKENDS = ("tensorflow", "jax", "torch")
BATCHES, EPOCHS = 40, 4  # Of which the first compiles, and does not count.


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("head", choices=heads.HEADS)
    head = parser.parse_args().head
    task = tasks.TASKS["mnist"]
    data = task.load()
    model = heads.network(head, "margin", tasks.shape_of(data), seed=0)
    backend = keras.backend.backend()
    row = {
        "head": head,
        "backend": backend,
        "epoch_seconds": seconds_of_an_epoch(model, task, data),
    }
    if backend == "tensorflow":
        row |= exported(model, data.test[0][:1])
    print(json.dumps(row))


def seconds_of_an_epoch(model, task, data) -> float:
    """Returns the median time of some batches, for as many as an epoch has."""
    images, labels = data.train
    few = slice(BATCHES * BATCH)
    batches = ImageBatches(images[few], labels[few], task.batch, BATCH, seed=0)
    model.compile(keras.optimizers.Adam(1e-3), heads.loss_of("margin"))
    seconds = []
    for _ in range(EPOCHS):
        start = time.perf_counter()
        model.fit(batches, epochs=1, shuffle=False, verbose=0)
        seconds.append(time.perf_counter() - start)
    return statistics.median(seconds[1:]) * len(images) / (BATCHES * BATCH)


def exported(model, image: np.ndarray) -> dict:
    """Returns bytes and nodes of the exported file, and its milliseconds on one thread."""
    import onnxruntime

    import export

    settings = onnxruntime.SessionOptions()
    settings.intra_op_num_threads = settings.inter_op_num_threads = 1
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "model.onnx"
        report = export.export_onnx(model, path)
        session = onnxruntime.InferenceSession(path, settings, providers=["CPUExecutionProvider"])
    times = results.medians({"ms": lambda: session.run(None, {"image": image})}, runs=500)
    nodes = sum(report.file.operations.values())
    return {**times, "bytes": report.file.bytes, "nodes": nodes}


if __name__ == "__main__":
    main()
