"""Measures what each model of the zoo costs at the sizes of photographs.

    python -m benchmarks.sizes
    python -m benchmarks.sizes --names capsnet se_resnet20 --sizes 64 224 --batch 4 --no-export

The memory is how much more a process takes at its highest with a few training steps than before the
model was built. The milliseconds are those of one image in onnxruntime on one thread, the median of
the exported and checked file. Images have three channels, and there are ten classes.
This benchmark runs only on Linux.
"""

import argparse
import json
import re
import tempfile
from pathlib import Path

import numpy as np

from benchmarks import results

CLASSES = 10


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--names", nargs="+", help="models (default: all)")
    parser.add_argument("--sizes", type=int, nargs="+", default=[64, 96, 128, 224])
    parser.add_argument("--batch", type=int, default=8)
    parser.add_argument("--backend", default="tensorflow")
    parser.add_argument("--no-export", action="store_true", help="without milliseconds")
    parser.add_argument("--measure", action="store_true", help=argparse.SUPPRESS)
    parser.add_argument("--time", action="store_true", help=argparse.SUPPRESS)
    results.add_options(parser, "sizes")
    options = parser.parse_args()
    if options.measure or options.time:
        found = (milliseconds if options.time else training)(
            *options.names, *options.sizes, options
        )
        print(json.dumps(found))
        return
    if options.names is None:
        from keras_capsules import list_models

        options.names = list_models(task="images")
    rows = []
    for name in options.names:
        for size in options.sizes:
            rows.append(row(name, size, options))
            print(rows[-1], flush=True)
    results.publish(rows, ["model", "size"], options)


def row(name: str, size: int, options) -> dict:
    arguments = ["--names", name, "--sizes", str(size), "--batch", str(options.batch)]
    # Otherwise the C library keeps freed blocks of up to 32 MiB each for later use.
    environment = {"MALLOC_MMAP_THRESHOLD_": str(2**20)}

    def measured(what):
        return results.in_process(
            "benchmarks.sizes", [what, *arguments], options.backend, **environment
        )

    found = {"model": name, "size": size, **measured("--measure")}
    return found if options.no_export else found | {"ms": measured("--time")}


def training(name: str, size: int, options) -> dict:
    """Returns the parameters, and the memory of training steps in MiB."""
    import keras

    from keras_capsules import create_model
    from keras_capsules.models import default_loss

    keras.ops.matmul(np.ones((9, 9), "float32"), np.ones((9, 9), "float32"))  # Starts the backend.
    before = memory("VmRSS")
    model = create_model(name, input_shape=(size, size, 3), num_classes=CLASSES)
    model.compile("adam", default_loss(name))
    images = np.random.default_rng(0).random((options.batch, size, size, 3), dtype="float32")
    labels = np.eye(CLASSES, dtype="float32")[np.arange(options.batch) % CLASSES]
    for _ in range(2):
        model.train_on_batch(images, labels)
    used = memory("VmHWM") - before
    return {"parameters": model.count_params(), "MiB of a training step": round(used / 1024)}


def milliseconds(name: str, size: int, options) -> float:
    """Returns the time of one image in onnxruntime."""
    import onnxruntime

    import export
    from keras_capsules import create_model

    model = create_model(name, input_shape=(size, size, 3), num_classes=CLASSES)
    settings = onnxruntime.SessionOptions()
    settings.intra_op_num_threads = 1
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "model.onnx"
        export.export_onnx(model, path)
        session = onnxruntime.InferenceSession(path, settings, ["CPUExecutionProvider"])
    image = np.random.default_rng(0).random((1, size, size, 3), dtype="float32")
    return results.medians({name: lambda: session.run(None, {"image": image})}, 30)[name]


def memory(field: str) -> int:
    """Returns a figure of this process, in KiB."""
    return int(re.search(rf"{field}:\s+(\d+) kB", Path("/proc/self/status").read_text())[1])


if __name__ == "__main__":
    main()
