"""Measures what float16 and int8 cost trained models, for the last table of docs/precision.md.

    KERAS_CAPSULES_DATA=folder python -m benchmarks.export_trained

Every model of the zoo with weights for MNIST that come with the library. int8 is calibrated on
digits to train on; the labels of digits to test on decide.
"""

import os

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")

import numpy as np

import keras_capsules
from benchmarks.export_precision import PAGE, TRAINED, exported
from benchmarks.results import markdown_table
from export.reduce.samples import CALIBRATION_SAMPLES, Samples
from keras_capsules import datasets

WEIGHTS = "mnist"
TESTED, CALIBRATED = 2000, CALIBRATION_SAMPLES
HEADER = ["model", "precision", "bytes", "nodes", "ms", "accuracy", "largest error", "passed"]
INTRODUCTION = f"""
Made by `python -m benchmarks.export_trained`: every model whose weights for MNIST come with the
library, int8 calibrated on {CALIBRATED} of the digits to train on, and the accuracy on the first
{TESTED:,} digits to test on. Milliseconds are for one image, as above; the largest error is that on
any suite, huge inputs too, relative to outputs above 1. A file passes that loses at most 0.5
points.
"""


def main() -> None:
    rows = []
    for name in keras_capsules.list_models(weights=WEIGHTS):
        model = keras_capsules.create_model(name, weights=WEIGHTS)
        for row, passed in exported(model, digits(keras_capsules.models.card(name, WEIGHTS))):
            rows.append(
                [
                    name,
                    row.precision,
                    f"{row.bytes:,}",
                    str(row.nodes),
                    f"{row.latency_ms:.2f}",
                    f"{row.score:.2f} %",
                    f"{row.max_abs:.0e}",
                    "✓" if passed else "✗",
                ]
            )
            print(" | ".join(rows[-1]), flush=True)
    table = markdown_table(HEADER, rows)
    first = PAGE.read_text().partition(TRAINED)[0]
    PAGE.write_text("\n".join([first + TRAINED + INTRODUCTION, *table]) + "\n")


def digits(card: dict) -> Samples:
    """Returns digits as a model takes them, by its card: some to calibrate on, others to judge."""
    (train, _), (test, labels) = datasets.mnist()
    low, high = card["preprocessing"]["input_range"]
    drawn = np.random.default_rng(0).choice(len(train), CALIBRATED, replace=False)
    calibration, judged = (
        low + (pixels / np.float32(255)) * (high - low) for pixels in (train[drawn], test[:TESTED])
    )
    criterion = f"accuracy on the first {TESTED:,} digits to test on"
    return Samples([judged], labels[:TESTED], criterion, [calibration])


if __name__ == "__main__":
    main()
