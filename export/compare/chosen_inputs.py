"""Chooses the inputs of a comparison, and runs the model on them."""

from dataclasses import dataclass

import keras
import numpy as np

from export import keras_model
from export.admit import budget
from export.admit.inputs import check_labels, checked_data
from export.admit.prepare import Prepared
from export.compare import moves
from export.compare.run import each_once, run_keras
from export.compare.suites import SuiteSet, suite_set
from export.compare.tolerance import nearby_outputs
from export.options import ExportOptions
from export.results import Kind


@dataclass(frozen=True)
class Inputs:
    """The inputs of the comparison, and what the model makes of them.

    Attributes:
        suites: The inputs.
        expected: The model's outputs for each suite that is compared in every setting.
        nearby: `tolerance.nearby_outputs` of huge inputs, by the index of the suite.
        warnings: What is suspicious about these outputs, in sentences.
    """

    suites: SuiteSet
    expected: list[list[np.ndarray]]
    nearby: dict[int, list[list[np.ndarray]]]
    warnings: list[str]


def choose_suites(prepared: Prepared, options: ExportOptions) -> tuple[SuiteSet, list[np.ndarray]]:
    """Checks labels and data, makes the inputs, and runs the model on the first ones."""
    model = prepared.model
    check_labels(model, options.labels)
    data = checked_data(model, options.data)

    def begin():
        suites = suite_set(model, options.limits, data, options.batch, options.sizes)
        return suites, run_keras(model, suites.compared[0])

    return budget.run_within(begin, prepared.seconds, f"{prepared.name}: one sample")


def choose_inputs(prepared: Prepared, suites: SuiteSet, first: list[np.ndarray]) -> Inputs:
    """Runs the model on the other inputs."""
    model = prepared.model

    def run(suite):
        return first if suite is suites.compared[0] else run_keras(model, suite)

    expected = each_once(run, suites.compared)
    warnings = moves.warnings(model, suites, expected)
    huge = [n for n, suite in enumerate(suites.compared) if suite.kind is Kind.HUGE]
    nearby = {number: nearby_outputs(model, suites.compared[number]) for number in huge}
    return Inputs(suites, expected, nearby, warnings)


def named_shapes(
    model: keras.Model, inputs: Inputs, batch: int | None
) -> tuple[dict[str, tuple], dict[str, tuple]]:
    """Returns the shapes of inputs and outputs by name, with names for open axes."""
    axes, suites = inputs.suites.axes, inputs.suites.compared
    results = [
        (suite.sizes, [array.shape for array in outputs])
        for suite, outputs in zip(suites, inputs.expected, strict=True)
        if suite.kind is Kind.RANDOM
    ]
    names = keras_model.input_names(model), keras_model.output_names(model)
    shapes = axes.input_shapes(model, batch), axes.output_shapes(model, batch, results)
    return (
        dict(zip(names[0], shapes[0], strict=True)),
        dict(zip(names[1], shapes[1], strict=True)),
    )
