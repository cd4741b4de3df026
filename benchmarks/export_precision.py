"""Exports every model of the zoo in float16 and int8, for the table of docs/precision.md.

    python -m benchmarks.export_precision
    python -m benchmarks.export_precision cnn_baseline se_resnet20

The models are small and not trained. The table shows whether they export, run and stay finite, and
how the precision changes sizes and errors. The loss of accuracy depends on the training:
`python -m benchmarks.export_trained` shows it for the weights that come with the library.
"""

import argparse
import os
import tempfile
from pathlib import Path

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")

import keras
import numpy as np

import export
import keras_capsules
from benchmarks.results import markdown_table
from export.options import PRECISIONS
from export.results import Judgement, Row
from keras_capsules import routing

PAGE = Path(__file__).parent.parent / "docs" / "precision.md"
TRAINED = "\n# Trained models in float16 and int8\n"
"""Heading of the part of the page that `benchmarks.export_trained` writes."""
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

`python -m benchmarks.export_precision` makes this table. It ran on two CPU cores that were not
idle, so trust the ratios of the times and not the times. Each model of the zoo is small
(`size="tiny"`), not trained, and exported with each routing that it takes. Routings with
explicit activations are for the networks whose capsules have them. Each cell has five entries:
the bytes of the file, its nodes, the milliseconds for one image (onnxruntime, one thread,
median), the share of {SAMPLES} random images for which it names the same label as Keras, and
the largest error on any suite, huge inputs included, relative to outputs above 1. ✓ means that
the file passed. float32 passes by its errors. float16 and int8 pass by their labels, of which
at most 0.5 % may differ, and if NaN and infinity are only where the model has them. An
untrained network hardly distinguishes its classes. A ✗ for the labels of int8 therefore says
little about a trained network, but it shows that the export refuses the file. Networks this
small have so few weights that the scales of int8 can exceed what it saves. The activations of
`heinsen` all start at one half, so its row only shows that it runs.
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
            result = exported(network, {"image": images})
            rows.append([model, name or "", *(cell(result, row) for row in result.rows)])
            print(" | ".join(rows[-1]), flush=True)
    if not options.models:
        header = ["model", "routing", *PRECISIONS[:3]]
        page = "\n".join([INTRODUCTION, *markdown_table(header, rows)]) + "\n"
        PAGE.write_text(page + "".join(PAGE.read_text().partition(TRAINED)[1:]))


def cells():
    """Yields each model with `None` for its only routing, or with each routing of the family."""
    explicit = {name: routing.get(name).explicit_activations for name in sorted(routing.ROUTINGS)}
    for model in keras_capsules.list_models(task="images"):
        if model in WITH_EACH_ROUTING:
            family = WITH_EACH_ROUTING[model]
            yield from ((model, name) for name in explicit if explicit[name] == family)
        else:
            yield model, None


def build(model: str, name: str | None) -> keras.Model:
    keras.utils.set_random_seed(1)
    options = {} if name is None else {"routing": name}
    return keras_capsules.create_model(model, **SMALL, **options)


def exported(model: keras.Model, data: dict, **options) -> Judgement:
    """Returns what the export found in each precision: on a part of the data, the rest is for int8.

    Args:
        model: The Keras model.
        data: Inputs by name, and `labels` if there are any.
        **options: Other options of the export.
    """
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "model.onnx"
        report = export.export_onnx(model, path, precision="auto", data=data, **options)
    return report.precision


def lost(result: Judgement, row: Row) -> float:
    """Returns the percentage points that a file has less than the model."""
    return result.model - row.score


def cell(result: Judgement, row: Row) -> str:
    """Returns the text of a table's cell."""
    return (
        f"{'✓' if lost(result, row) <= result.max_drop else '✗'} {row.bytes:,} B, {row.nodes}, "
        f"{row.latency_ms:.3f} ms, {row.score:.1f} %, {row.max_abs:.0e}"
    )


if __name__ == "__main__":
    main()
