"""Measures time and memory of an export, beside Keras' own, which checks nothing.

    python -m benchmarks.export_time
    python -m benchmarks.export_time capsnet ResNet50 MobileNetV2

A model of the zoo has its paper's size; one of keras.applications takes images of 224 x 224. Each
export runs in a fresh process. Processor seconds are those of the export and of the process that
it starts; memory is the sum of the peaks of the two, as if both came at the same time.

`layers` are the seconds of the comparison of single layers, and `signed and rows` those of inputs
of both signs and of every row of tables: what the verdict costs beyond a comparison of outputs.
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
from export import pipeline
from export.compare import chosen_inputs, outputs
from export.results import Kind

HOW = ("keras", "export")
STAGES = ("layers", "signed and rows")


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
                f"{row['GiB']:5.2f} GiB",
                *(f"{stage} {row[stage]:.1f} s" for stage in STAGES if stage in row),
                sep=", ",
            )


def measured(name: str, how: str) -> dict[str, float]:
    """Exports a model in this process, and returns seconds and GiB."""
    zoo = name in keras_capsules.list_models()
    model = keras_capsules.create_model(name) if zoo else _application(name)
    model(keras.ops.zeros((1, *model.input.shape[1:])))  # Keras exports no model without a call.
    start, before, stages = time.perf_counter(), os.times(), {}
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "model.onnx"
        if how == "keras":
            model.export(path, format="onnx", verbose=False)
        else:
            stages = timed_stages()
            export.export_onnx(model, path)
    after = os.times()
    peaks = [resource.getrusage(who).ru_maxrss for who in (0, resource.RUSAGE_CHILDREN)]
    return {
        "seconds": time.perf_counter() - start,
        "processor": sum(after[:4]) - sum(before[:4]),
        "GiB": sum(peaks[: 1 if how == "keras" else 2]) / 2**20,
        **stages,
    }


def timed_stages() -> dict[str, float]:
    """Makes the pipeline add the seconds of its new checks to the dictionary that it returns."""
    seconds: dict[str, float] = dict.fromkeys(STAGES, 0.0)

    def timed(function, stage):
        def run(*arguments):
            start = time.perf_counter()
            try:
                return function(*arguments)
            finally:
                if name := stage(arguments):
                    seconds[name] += time.perf_counter() - start

        return run

    def of_suite(arguments):
        return STAGES[1] if arguments[-1].kind in (Kind.SIGNED, Kind.EVERY_ROW) else None

    pipeline.compare_layers = timed(pipeline.compare_layers, lambda _: STAGES[0])
    outputs.run_onnx = timed(outputs.run_onnx, of_suite)
    chosen_inputs.run_keras = timed(chosen_inputs.run_keras, of_suite)
    return seconds


def _application(name):
    return getattr(keras.applications, name)(weights=None)


if __name__ == "__main__":
    main()
