"""Exports a small capsule network with each routing to C, for the table of docs/c.md.

    python -m benchmarks.c_routings

The networks take images of 28 x 28 pixels, and are not trained. Each program is verified as any
export is: by the compiler of this machine and, where it is installed, on an emulated Cortex-M7.
"""

import argparse
import tempfile
from pathlib import Path

from benchmarks.results import markdown_table


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--names", nargs="+", help="short names; all of them by default")
    options = parser.parse_args()

    from keras_capsules.routing import ROUTINGS

    rows = []
    for name in options.names or sorted(ROUTINGS):
        rows.append(row_of(name))
        print(rows[-1], flush=True)
    header = list(max(rows, key=len))
    cells = [[row.get(name, "") for name in header] for row in rows]
    print("\n".join(markdown_table(header, cells)))


def network(name: str, pixels: int = 28, classes: int = 10):
    """Returns a small network of capsules with a routing, whose scores depend on all weights."""
    import keras
    import numpy as np

    import keras_capsules as kc

    keras.utils.set_random_seed(0)
    x = image = keras.Input((pixels, pixels, 1), name="image")
    x = keras.layers.Conv2D(8, 5, strides=2, activation="relu")(x)
    layer = kc.CapsuleLayer(classes, 8, routing=name, name="capsules")
    explicit = layer.routing.explicit_activations
    primary = kc.PrimaryCapsule2D(4, 8, 5, strides=2, explicit_activations=explicit)
    capsules = layer(primary(x))
    if explicit:
        poses, activations = capsules
        scores = keras.layers.Multiply()([kc.CapsuleLength()(poses), activations])
    else:
        scores = kc.CapsuleLength()(capsules)
    model, generator = keras.Model(image, {"scores": scores}), np.random.default_rng(0)
    for weight in model.weights:  # Biases of zero would hide faults.
        weight.assign(weight + generator.normal(scale=0.05, size=weight.shape))
    return model


def row_of(name: str) -> dict:
    """Exports the network of a routing, and returns its row of the table."""
    import export

    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "digits.onnx"
        try:
            program = export.export_onnx(network(name), path, c=True).program
        except export.ExportError as error:
            return {"routing": name, "passed": f"refused: {error}"}
    runs = {
        f"differs on {run.machine}": f"{max(x.max_abs for x in run.comparisons):.1e}"
        for run in program.runs
    }
    return {
        "routing": name,
        "passed": "yes",
        "flash": f"{program.need.flash:,}",
        "RAM": f"{program.need.ram:,}",
        "multiply-adds": f"{program.multiply_adds:,}",
        **runs,
    }


if __name__ == "__main__":
    main()
