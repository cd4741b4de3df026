"""Measures a training step of the networks of convolutional capsules, each in a separate process.

    python -m benchmarks.convolution
    python -m benchmarks.convolution --sizes 64 --batch 2 --backends jax
    python -m benchmarks.convolution --models segcaps unet --sizes 128 256 512 --batch 1
    python -m benchmarks.convolution --source ../older-checkout

Milliseconds and processor time are for one image, the least of some steps. Memory is the highest
resident memory of the process. With `--source` the library of another checkout is measured in turn
with this one. This benchmark runs only on Linux.
"""

import argparse
import json
import re
import time
from pathlib import Path

import numpy as np

from benchmarks import results

MODELS = ("matrix_capsnet", "variational_capsnet", "inverted_capsnet", "deepcaps")
SEGMENTATION = ("segcaps", "unet", "se_unet")
HERE = Path(__file__).parents[1]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--backends", nargs="+", default=["tensorflow", "jax", "torch"])
    parser.add_argument("--models", nargs="+", default=MODELS)
    parser.add_argument("--sizes", nargs="+", type=int, default=[28], help="sides of the image")
    parser.add_argument("--batch", type=int, default=8)
    parser.add_argument("--steps", type=int, default=4)
    parser.add_argument("--jit", action="store_true", help="compile with jit_compile=True")
    parser.add_argument("--source", type=Path, help="checkout of another version")
    parser.add_argument("--measure", action="store_true", help=argparse.SUPPRESS)
    results.add_options(parser, "convolution")
    options = parser.parse_args()
    if options.measure:
        print(json.dumps(measured(options.models[0], options.sizes[0], options)))
        return
    sources = [HERE] if options.source is None else [options.source.resolve(), HERE]
    rows = []
    for model in options.models:
        for size in options.sizes:
            for backend in options.backends:
                rows += [row(source, backend, model, size, options) for source in sources]
                print(rows[-len(sources) :], flush=True)
    results.publish(rows, ["source", "backend", "model", "size"], options)


def row(source, backend, model, size, options) -> dict:
    arguments = ["--measure", "--models", model, "--sizes", str(size)]
    arguments += ["--batch", str(options.batch), "--steps", str(options.steps)]
    arguments += ["--jit"] if options.jit else []
    # The library comes from the source, and the benchmark from here.
    environment = {"PYTHONPATH": f"{source}:{HERE}", "PYTHONSAFEPATH": "1"}
    found = results.in_process("benchmarks.convolution", arguments, backend, **environment)
    name = "this" if source == HERE else "other"
    return {"source": name, "backend": backend, "model": model, "size": size, **found}


def measured(name: str, size: int, options) -> dict:
    import keras

    from keras_capsules import create_model

    classes = {} if name in SEGMENTATION else {"num_classes": 10}
    model = create_model(name, input_shape=(size, size, 1), **classes)
    model.compile(keras.optimizers.SGD(1e-4), "mse", jit_compile=options.jit or "auto")
    x = np.random.default_rng(0).uniform(size=(options.batch, size, size, 1)).astype("float32")
    y = np.ones((options.batch, *model.output_shape[1:]), "float32")
    walls, processors = [], []
    for _ in range(options.steps + 1):
        wall, processor = time.perf_counter(), time.process_time()
        model.train_on_batch(x, y)
        walls.append(time.perf_counter() - wall)
        processors.append(time.process_time() - processor)
    status = Path("/proc/self/status").read_text()
    return {
        "ms": 1e3 * min(walls[1:]) / options.batch,
        "processor ms": 1e3 * min(processors[1:]) / options.batch,
        "peak MiB": int(re.search(r"VmHWM:\s+(\d+) kB", status)[1]) // 1024,
    }


if __name__ == "__main__":
    main()
