"""Exports every model of the zoo in float16 and int8, and writes the table of docs/precision.md.

    python -m benchmarks.export_precision
    python -m benchmarks.export_precision cnn_baseline se_resnet20

The models are small and not trained: what is shown is whether they export, run and stay finite, and
what the precision does to sizes and errors. What it costs in accuracy depends on the training:
`python -m benchmarks.export_trained` tells it of the weights that come with the library.
"""

import argparse
import os
import tempfile
from pathlib import Path

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")

import keras
import numpy as np
import onnx

import export
import keras_capsules
from benchmarks.results import markdown_table
from export.compare.outputs import Candidate, compare
from export.compare.suites import suites
from export.graph.canonical import serialize
from export.options import PRECISIONS, ExportOptions
from export.reduce.judge import judge
from export.reduce.reduced_file import reduced_file
from export.reduce.samples import Samples, choose_samples
from export.results import Row
from keras_capsules import routing

PAGE = Path(__file__).parent.parent / "docs" / "precision.md"
TRAINED = "\n# Trained models in float16 and int8\n"
"""The heading of what `benchmarks.export_trained` writes to the page."""
SMALL = {"size": "tiny", "input_shape": (12, 12, 1), "num_classes": 3}
SAMPLES = 256
WITH_EACH_ROUTING = {  # Explicit activations?
    "capsnet": False,
    "deepcaps": False,
    "efficient_capsnet": False,
    "inverted_capsnet": False,
    "matrix_capsnet": True,
    "se_capsnet": False,
    "variational_capsnet": True,
}
INTRODUCTION = f"""\
# Every model in float16 and int8

Made by `python -m benchmarks.export_precision`, on two CPU cores that were not idle, so trust the
ratios of the times and not the times. Each model of the zoo is small (`size="tiny"`), not trained,
and exported with each routing that it takes: those with explicit activations are for the networks
whose capsules have them. Each cell says: the bytes of the file, its nodes, milliseconds
for one image (onnxruntime, one thread, median), on how many of {SAMPLES} random images it names the
label that Keras names, and the largest error on any suite, huge inputs too, relative to outputs
above 1. ✓ says that it passed: float32 by its errors, the others by their labels (at most 0.5 % may
differ) and by NaN and infinity only where the model has them. An untrained network hardly tells its
classes apart, so ✗ for the labels of int8 says little of a trained one; it says that the export
refuses. Networks this small hold so few weights that the scales of int8 can outweigh what it saves.
The activations of `heinsen` all start at one half, so its row shows that it runs, and no more.
"""


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("models", nargs="*", help="names of models (default: all)")
    options = parser.parse_args()
    rows = []
    for model, name in cells():
        if not options.models or model in options.models:
            network = build(model, name)
            shape = (2 * SAMPLES, *network.input_shape[1:])
            images = np.random.default_rng(1).random(shape, dtype="float32")
            samples = choose_samples(network, {"image": images}, (0.0, 1.0), calibrated=True)
            texts = [cell(*result) for result in exported(network, samples)]
            rows.append([model, name or "", *texts])
            print(" | ".join(rows[-1]), flush=True)
    if not options.models:
        header = ["model", "routing", *PRECISIONS]
        page = "\n".join([INTRODUCTION, *markdown_table(header, rows)]) + "\n"
        PAGE.write_text(page + "".join(PAGE.read_text().partition(TRAINED)[1:]))


def cells():
    """Yields each model with `None` for its own routing, or with each of the routing's family."""
    explicit = {name: routing.get(name).explicit_activations for name in sorted(routing.ROUTINGS)}
    for model in keras_capsules.list_models():
        if model in WITH_EACH_ROUTING:
            family = WITH_EACH_ROUTING[model]
            yield from ((model, name) for name in explicit if explicit[name] == family)
        else:
            yield model, None


def build(model: str, name: str | None) -> keras.Model:
    keras.utils.set_random_seed(1)
    options = {} if name is None else {"routing": name}
    return keras_capsules.create_model(model, **SMALL, **options)


def exported(model: keras.Model, samples: Samples) -> list[tuple[Row, bool]]:
    """Returns the results of the model in each precision, and whether it passed.

    It is converted once for all.
    """
    inputs = suites(model)
    with tempfile.TemporaryDirectory() as folder:
        export.export_onnx(model, Path(folder) / "model.onnx")
        file = onnx.load(Path(folder) / "model.onnx")

    def candidate(file):
        return Candidate(file, serialize(file), compare(model, file, inputs, "not needed"))

    float32, rows = candidate(file), {}
    for name in PRECISIONS[1:]:
        options = ExportOptions(precision=name, data={})  # The samples stand in for the data.
        reduced = candidate(reduced_file(model, file, options, samples, inputs, {}))
        result = judge(model, float32, reduced, samples, options)
        for row, passed in zip(result.rows, (True, result.passed), strict=True):
            rows[row.precision] = row, passed
    return list(rows.values())


def cell(row: Row, passed: bool) -> str:
    """Returns the text of a table's cell."""
    return (
        f"{'✓' if passed else '✗'} {row.bytes:,} B, {row.nodes}, "
        f"{row.latency_ms:.3f} ms, {row.score:.1f} %, {row.max_abs:.0e}"
    )


if __name__ == "__main__":
    main()
