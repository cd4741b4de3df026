"""Measures the accuracy of trained models in float16 and int8, for docs/precision.md.

    KERAS_CAPSULES_DATA=folder python -m benchmarks.export_trained

The models are all with MNIST weights that come with the library. int8 is calibrated on training
digits. The labels of test digits decide.
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
`python -m benchmarks.export_trained` makes this table. It has every model with MNIST weights
that come with the library. int8 is calibrated on {CALIBRATED} of the training digits, and the
accuracy is measured on the first {TESTED:,} test digits. Milliseconds are for one image, as
above. The largest error is over all suites, huge inputs included, relative to outputs above 1.
A file passes if it loses at most 0.5 percentage points.
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
    """Returns digits prepared as in the model's card, for the calibration and for the judgement."""
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
