"""Measures the accuracy of trained models in float16 and int8, for docs/precision.md.

    KERAS_CAPSULES_DATA=folder python -m benchmarks.export_trained

The models are all with weights that come with the library. int8 is calibrated on a part of the
test samples, and the right answers to the others decide.
"""

import os

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")

import keras
import numpy as np

import keras_capsules
from benchmarks.cards import test_data
from benchmarks.export_precision import PAGE, TRAINED, exported, lost
from benchmarks.results import markdown_table
from export.reduce.samples import CALIBRATION_SAMPLES
from keras_capsules.models import card, pretrained

TESTED = 2000
HEADER = ["model", "weights", "precision", "bytes", "nodes", "ms", "right", "lost", "largest error"]
INTRODUCTION = f"""
`python -m benchmarks.export_trained` makes this table. It has every model with weights that come
with the library. int8 is calibrated on {CALIBRATION_SAMPLES} of the first
{TESTED + CALIBRATION_SAMPLES:,} test samples, or on half of them if there are fewer, and all
files are judged on the others: by right labels, by right yes or no answers for two digits at once,
and by the mean intersection over union of the classes in a segmentation. Milliseconds are for one
sample, as above. The largest error is over all suites, huge inputs included, relative to outputs
above 1. The export writes a file that loses at most 0.5 percentage points.
"""


def main() -> None:
    rows = []
    for name in keras_capsules.list_models(weights="*"):
        for weights in pretrained.names(name):
            model = keras_capsules.create_model(name, weights=weights)
            samples, labels = test_samples(name, weights)
            several = {"task": "labels"} if labels.shape[1:] == model.output_shape[1:] else {}
            data = {model.inputs[0].name: samples, "labels": labels}
            result = exported(model, data, **several)
            for row in result.rows:
                size, time, right = f"{row.bytes:,}", f"{row.latency_ms:.2f}", f"{row.score:.2f} %"
                texts = [name, weights, row.precision, size, str(row.nodes), time, right]
                rows.append([*texts, f"{lost(result, row):.2f}", f"{row.max_abs:.0e}"])
                print(" | ".join(rows[-1]), flush=True)
    first = PAGE.read_text().partition(TRAINED)[0]
    table = markdown_table(HEADER, rows)
    PAGE.write_text("\n".join([first + TRAINED + INTRODUCTION, *table]) + "\n")


def test_samples(name: str, weights: str) -> tuple[np.ndarray, np.ndarray]:
    """Returns samples to test on, prepared as in the model's card, and the right answers."""
    samples, answers = test_data(weights)
    samples, answers = (part[: TESTED + CALIBRATION_SAMPLES] for part in (samples, answers))
    if weights == "multi_mnist":
        answers = keras.ops.convert_to_numpy(keras.utils.to_categorical(answers, 10).max(axis=1))
    if samples.dtype != "uint8":
        return samples, answers
    steps = card(name, weights)["preprocessing"]
    low, high = steps["input_range"]
    pixels = low + (samples / np.float32(255)) * (high - low)
    return (pixels - steps.get("mean", 0)) / np.float32(steps.get("std", 1)), answers


if __name__ == "__main__":
    main()
