"""Judges a file in float16 or int8 by its accuracy, not by its errors.

A tolerance for errors would say little. Eight bits change a score a thousand times more than
rounding does, and this may change no label or many. So the file fails if its accuracy is more than
`max_drop` percentage points below that of the Keras model. If right labels are not known, it fails
if it names another label than the model for more than this share of the samples. NaN or infinity at
other positions than in the model is a failure, whatever the accuracy.
"""

import math
from dataclasses import replace

import keras
import numpy as np

from export import keras_model
from export.compare.latency import latency_ms
from export.compare.outputs import Candidate
from export.compare.run import run_keras, run_onnx, session
from export.options import ExportOptions
from export.reduce.samples import Samples
from export.results import Judgement, Row


def judge(
    model: keras.Model,
    float32: Candidate,
    reduced: Candidate,
    samples: Samples,
    options: ExportOptions,
) -> Judgement:
    """Counts labels and sizes of the float32 file and of the reduced one.

    Args:
        model: The Keras model.
        float32: The file in float32.
        reduced: The file in `options.precision`.
        samples: Inputs for the comparison of labels.
        options: Options of the export. `max_drop` is the limit.
    """
    count = len(samples.inputs[0])
    suite = samples.suite(model, options.batch)
    expected = run_keras(keras_model.scored_model(model), suite)[0][:count].argmax(axis=1)
    truth = expected if samples.truth is None else samples.truth

    def right_labels(candidate):
        output = keras_model.output_names(model)[keras_model.scored_output(model)]
        runner = session(candidate.file, threads=1)
        (scores,) = run_onnx(runner, model, [output], suite)
        return int(np.sum(scores[:count].argmax(axis=1) == truth))

    def row(precision, candidate, right):
        return Row(
            precision=precision,
            bytes=len(candidate.content),
            nodes=len(candidate.file.graph.node),
            latency_ms=latency_ms(candidate.file, candidate.content)["1 thread"].p50,
            score=100 * right / count,
            max_abs=max(entry.relative for entry in candidate.comparisons),
        )

    right = right_labels(reduced)
    rows = [
        row("float32", float32, right_labels(float32)),
        row(options.precision, reduced, right),
    ]
    comparisons = [_without_tolerance(comparison) for comparison in reduced.comparisons]
    drop = 100 * (int(np.sum(expected == truth)) - right) / count
    return Judgement(
        precision=options.precision,
        criterion=samples.criterion,
        model=100 * float(np.mean(expected == truth)),
        drop=drop,
        max_drop=options.max_drop,
        rows=rows,
        comparisons=comparisons,
        passed=drop <= options.max_drop and all(entry.passed for entry in comparisons),
    )


def _without_tolerance(comparison):
    """Accepts any finite error if NaN and infinity are at the model's positions."""
    return replace(comparison, allowed=math.inf, label_flips=0, passed=comparison.nan_equal)
