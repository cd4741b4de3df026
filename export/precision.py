"""Whether a file in float16 or int8 still is the model: accuracy decides, errors are reported.

A tolerance for errors would say little: what eight bits do to a score is a thousand times more than
rounding does, and may change no label or many. So the file fails if it names the right label more
than `max_drop` percentage points less often than the Keras model does; or, where right labels are
not known, if it names another label than the model that often. NaN and infinity elsewhere than in
the model are a failure, whatever the accuracy.
"""

import json
import math
from collections.abc import Sequence
from dataclasses import asdict, dataclass, replace

import keras
import numpy as np
import onnx

from export import environment, quantize, source
from export.errors import UsageError
from export.options import ExportOptions
from export.parity import Comparison, run_onnx, session
from export.suites import BATCHES, Suite, filled_batches, made_inputs, run_keras
from export.tidy import serialize

LABELS = "labels"
"""Name of the array of right labels, in the data beside the inputs."""
CALIBRATION_SAMPLES = 256
"""How many samples of the data int8 is calibrated on, half of them at most."""
_RANGE_SAMPLES = 32
_RANDOM_SAMPLES = 512


@dataclass(frozen=True)
class Samples:
    """What labels are compared on.

    Attributes:
        inputs: Array `(samples, ...)` for each of the model's inputs.
        truth: Right labels `(samples,)`, or `None`.
        criterion: What is counted on what, in words.
        calibration: Others for int8 to be calibrated on, or none.
    """

    inputs: list[np.ndarray]
    truth: np.ndarray | None
    criterion: str
    calibration: Sequence[np.ndarray] = ()

    def suite(self, batch: int | None) -> Suite:
        """Returns the inputs in batches, filled up where only one size of batch will do."""
        return _in_batches("labels", self.inputs, batch)

    def metadata(self, options: ExportOptions) -> dict[str, str]:
        """Returns what a file of reduced precision says of itself."""
        verification = {"verdict": "passed", "max_drop": float(options.max_drop)}
        verification["criterion"] = self.criterion
        return {"precision": options.precision, "verification": json.dumps(verification)}


def _in_batches(name, inputs, batch):
    inputs = inputs if batch is None else filled_batches(inputs, batch)
    return Suite(name, inputs, batch or max(BATCHES))


def samples(
    model: keras.Model, data: dict | None, input_range: tuple, calibrated: bool = False
) -> Samples:
    """Returns the samples to judge a file on: the data, or random inputs where there are none.

    Args:
        model: The Keras model.
        data: Real inputs by name and the array `labels` if there is one, or `None`.
        input_range: Pair of floats between which inputs usually lie.
        calibrated: Boolean. Whether to set a part of the data aside to calibrate on, drawn the
            same way each time. Defaults to `False`.

    Raises:
        UsageError: If the model has no labels that could be compared, or the data's do not fit.
    """
    index, names = source.scored_output(model), source.input_names(model)
    shape = model.outputs[index].shape
    if len(shape) != 2 or shape[1] < 2:
        raise UsageError(
            "Reduced precision is judged by the labels that the model names, and its output "
            f"{source.output_names(model)[index]!r} has shape {tuple(shape)}, not (batch, classes)."
            " Export it in float32."
        )
    if data is None:
        criterion = f"agreement with the model on {_RANDOM_SAMPLES} random inputs, without --data"
        generator = np.random.default_rng(0)
        inputs = made_inputs(
            *(model, input_range, _RANDOM_SAMPLES),
            make=lambda shape, low, high: generator.uniform(low, high, shape),
        )
        return Samples(inputs, None, criterion)
    inputs = [
        np.asarray(data[name], tensor.dtype)
        for name, tensor in zip(names, model.inputs, strict=True)
    ]
    found = Samples(inputs, None, "agreement with the model on the {:,} samples of the data")
    if LABELS in data and LABELS not in names:
        truth = _right_labels(np.asarray(data[LABELS]), (len(inputs[0]), shape[1]))
        found = Samples(inputs, truth, "accuracy on the {:,} labelled samples of the data")
    if calibrated:
        found = _set_aside(found)
    return replace(found, criterion=found.criterion.format(len(found.inputs[0])))


def _set_aside(samples):
    """Divides samples into some to calibrate on and the rest."""
    count = len(samples.inputs[0])
    if count < 2:
        raise UsageError(
            "int8 is calibrated on one part of the data and judged on the other, so it needs 2 "
            f"samples or more, better hundreds. Received: {count}"
        )
    drawn = np.random.default_rng(0).permutation(count)[: min(CALIBRATION_SAMPLES, count // 2)]
    rest = np.setdiff1d(np.arange(count), drawn)
    return Samples(
        inputs=[array[rest] for array in samples.inputs],
        truth=None if samples.truth is None else samples.truth[rest],
        criterion=f"{samples.criterion} that it was not calibrated on",
        calibration=[array[np.sort(drawn)] for array in samples.inputs],
    )


def _right_labels(truth, shape):
    """Returns right labels as numbers; `shape` is that of the scores."""
    one_hot = truth.shape == shape
    numbers = truth.shape == shape[:1] and truth.dtype.kind in "iu"
    if not one_hot and not (numbers and 0 <= truth.min() and truth.max() < shape[1]):
        raise UsageError(
            f"The array {LABELS!r} of the data must hold the right label of each sample, whole "
            f"numbers from 0 to {shape[1] - 1} of shape ({shape[0]},), or one-hot rows. "
            f"Received: shape {truth.shape}, {truth.dtype}"
        )
    return truth.argmax(axis=1) if one_hot else truth


def reduce(
    model: keras.Model,
    file: onnx.ModelProto,
    options: ExportOptions,
    samples: Samples,
    suites: list[Suite],
    metadata: dict[str, str],
) -> onnx.ModelProto:
    """Converts a verified float32 file.

    Args:
        model: The Keras model.
        file: Its conversion.
        options: Whose `precision` is `"float16"` or `"int8"`.
        samples: What it will be judged on, and int8 calibrated.
        suites: Inputs on which it will be compared. float16 must bear the huge ones.
        metadata: Properties to store in the new file.
    """
    names = source.input_names(model)

    def batches(suite, count, size):
        size = options.batch or size
        starts = range(0, min(count, len(suite.inputs[0])), size)
        parts = ([array[start : start + size] for array in suite.inputs] for start in starts)
        return [dict(zip(names, part, strict=True)) for part in parts]

    if options.precision == "int8":
        suite = _in_batches("calibration", samples.calibration, options.batch)
        whole = batches(suite, len(suite.inputs[0]), suite.batch)
        return quantize.to_int8(file, whole, metadata)
    measured = [
        samples.suite(options.batch),
        *(other for other in suites if other.name.startswith("huge")),
    ]
    # Two at a time, since every value in between is held.
    ranges = [batch for suite in measured for batch in batches(suite, _RANGE_SAMPLES, size=2)]
    return quantize.to_float16(file, ranges, metadata)


def judge(
    model: keras.Model,
    files: dict[str, tuple[onnx.ModelProto, list[Comparison]]],
    samples: Samples,
    options: ExportOptions,
) -> dict:
    """Counts labels and sizes of the float32 file and of the reduced one.

    Args:
        model: The Keras model.
        files: By precision, float32 first, each file and what its comparison with the model gave.
        samples: What labels are compared on.
        options: Whose `max_drop` decides.

    Returns:
        `precision`, `criterion`, `model`, the model's own score, `drop` and `max_drop`, all in
        percentage points, the `comparisons` of the reduced file, `passed`, and a dictionary for
        each file in `rows`: `precision`, `bytes`, `nodes`, `latency_ms`, the median on one thread
        for one sample or one batch of a fixed size, `score` and `max_abs`, the largest error,
        relative to outputs above 1.
    """
    output = source.output_names(model)[source.scored_output(model)]
    suite, count = samples.suite(options.batch), len(samples.inputs[0])
    expected = run_keras(source.scored_model(model), suite)[0][:count].argmax(axis=1)
    truth = expected if samples.truth is None else samples.truth
    rows = []
    for name, (file, comparisons) in files.items():
        runner, content = session(file, "ORT_ENABLE_ALL", 1), serialize(file)
        (found,) = run_onnx(runner, model, [output], suite)
        right = int(np.sum(found[:count].argmax(axis=1) == truth))
        rows.append(
            {
                "precision": name,
                "bytes": len(content),
                "nodes": len(file.graph.node),
                "latency_ms": environment.latency_ms(file, content)["1 thread"]["p50"],
                "score": 100 * right / len(truth),
                "max_abs": max(entry.max_abs / entry.scale for entry in comparisons),
            }
        )
    comparisons = [_without_tolerance(comparison) for comparison in comparisons]
    drop = 100 * (int(np.sum(expected == truth)) - right) / len(truth)
    return {
        "precision": name,
        "criterion": samples.criterion,
        "model": 100 * float(np.mean(expected == truth)),
        "drop": drop,
        "max_drop": options.max_drop,
        "rows": rows,
        "comparisons": [asdict(comparison) for comparison in comparisons],
        "passed": drop <= options.max_drop and all(comparison.passed for comparison in comparisons),
    }


def _without_tolerance(comparison):
    """Lets any finite error pass, where NaN and infinity stand in the model's places."""
    return replace(comparison, allowed=math.inf, label_flips=0, passed=comparison.nan_equal)
