"""Judges a file in float16 or int8 by its answers, not by its errors.

A tolerance for errors would say little. Eight bits change a score a thousand times more than
rounding does, and this may change no answer or many. So the file fails if its score, which depends
on the task, is more than `max_drop` percentage points below that of the Keras model. If right
answers are not known, those of the model count as right. NaN or infinity at other positions than in
the model is a failure, whatever the score.
"""

import math
from dataclasses import replace

import keras

from export import keras_model
from export.compare.latency import latency_ms
from export.compare.outputs import Candidate
from export.compare.run import run_keras, run_onnx, session
from export.options import ExportOptions
from export.reduce.samples import Samples
from export.results import Judgement, Row
from export.task import task_of


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
    task, suite = task_of(model, options), samples.suite(model, options.batch)
    expected = task.answers(run_keras(keras_model.scored_model(model), suite)[0][:count])
    truth = expected if samples.truth is None else samples.truth

    def score(candidate):
        output = keras_model.output_names(model)[keras_model.scored_output(model)]
        runner = session(candidate.file, threads=1)
        (scores,) = run_onnx(runner, model, [output], suite)
        return task.score(task.answers(scores[:count]), truth)

    def row(precision, candidate, percent):
        return Row(
            precision=precision,
            bytes=len(candidate.content),
            nodes=len(candidate.file.graph.node),
            latency_ms=latency_ms(candidate.file, candidate.content)["1 thread"].p50,
            score=percent,
            max_abs=max(entry.relative for entry in candidate.comparisons),
        )

    percent = score(reduced)
    rows = [row("float32", float32, score(float32)), row(options.precision, reduced, percent)]
    comparisons = [_without_tolerance(comparison) for comparison in reduced.comparisons]
    own = task.score(expected, truth)
    drop = own - percent
    return Judgement(
        precision=options.precision,
        criterion=samples.criterion,
        model=own,
        drop=drop,
        max_drop=options.max_drop,
        rows=rows,
        comparisons=comparisons,
        passed=drop <= options.max_drop and all(entry.passed for entry in comparisons),
    )


def _without_tolerance(comparison):
    """Accepts any finite error if NaN and infinity are at the model's positions."""
    return replace(comparison, allowed=math.inf, label_flips=0, passed=comparison.nan_equal)
