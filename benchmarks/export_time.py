"""Measures time and memory of an export, beside Keras' own, which checks nothing.

    python -m benchmarks.export_time
    python -m benchmarks.export_time capsnet ResNet50 MobileNetV2

A model of the zoo has its paper's size; one of keras.applications takes images of 224 x 224. Each
export runs in a fresh process. Processor seconds are those of the export and of the process that
it starts; memory is the sum of the peaks of the two, as if both came at the same time.
"""

import argparse
import json
import os
import resource
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import keras

import export
import keras_capsules

HOW = ("keras", "export")


def main() -> None:
    """Exports each model both ways, and prints a line for each."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("models", nargs="*", default=["capsnet"])
    parser.add_argument("--how", choices=HOW, help="export one model here, and print JSON")
    options = parser.parse_args()
    if options.how:
        print(json.dumps(measured(options.models[0], options.how)))
        return
    for name in options.models:
        for how in HOW:
            command = [sys.executable, "-m", "benchmarks.export_time", name, "--how", how]
            answer = subprocess.run(command, capture_output=True, text=True, check=True).stdout
            row = json.loads(answer.splitlines()[-1])
            print(
                f"{name:16} {how:8} {row['seconds']:6.1f} s, processor {row['processor']:6.1f} s, "
                f"{row['GiB']:5.2f} GiB"
            )


def measured(name: str, how: str) -> dict[str, float]:
    """Exports a model in this process, and returns seconds and GiB."""
    zoo = name in keras_capsules.list_models()
    model = keras_capsules.create_model(name) if zoo else _application(name)
    model(keras.ops.zeros((1, *model.input.shape[1:])))  # Keras exports no model without a call.
    start, before = time.perf_counter(), os.times()
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "model.onnx"
        if how == "keras":
            model.export(path, format="onnx", verbose=False)
        else:
            export.export_onnx(model, path)
    after = os.times()
    peaks = [resource.getrusage(who).ru_maxrss for who in (0, resource.RUSAGE_CHILDREN)]
    return {
        "seconds": time.perf_counter() - start,
        "processor": sum(after[:4]) - sum(before[:4]),
        "GiB": sum(peaks[: 1 if how == "keras" else 2]) / 2**20,
    }


def _application(name):
    return getattr(keras.applications, name)(weights=None)


if __name__ == "__main__":
    main()
