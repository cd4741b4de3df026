"""Tries every routing in every layer on every backend, and writes the table of docs/routings.md.

    python -m benchmarks.routings

One model has a head for each routing in `CapsuleLayer` and one in `ConvCapsule2D`. On each backend
it is rebuilt from its config, trained for a step, saved, loaded in a fresh process and exported.
"""

import argparse
import json
import math
import os
import subprocess
import sys
import tempfile
from pathlib import Path

import numpy as np

from benchmarks.results import markdown_table

BACKENDS = ("tensorflow", "jax", "torch")
PAGE = Path(__file__).parent.parent / "docs" / "routings.md"
CONTROL_FLOW = {"Loop", "If", "Scan", "Einsum", "Where"}
LOAD = """
import sys, numpy as np, keras_capsules, keras
model = keras.models.load_model(sys.argv[1])
np.savez(sys.argv[2], **model.predict(np.load(sys.argv[3]), verbose=0))
"""


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--backends", nargs="+", default=BACKENDS, choices=BACKENDS)
    parser.add_argument("--check", action="store_true", help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.check:
        print(json.dumps(check()))
        return
    results = {backend: _check_in_a_process(backend) for backend in options.backends}
    page = to_markdown(results)
    print(page)
    if tuple(options.backends) == BACKENDS:
        PAGE.write_text(page)


def build():
    """Returns the model, and its heads: the outputs' names with layer and routing."""
    import keras

    from keras_capsules import CapsuleLayer, ConvCapsule2D, PrimaryCapsule2D, routing

    image = keras.Input((9, 9, 1), name="image")
    primary = PrimaryCapsule2D(
        2, 4, 3, strides=2, activation=None, explicit_activations=True, name="primary"
    )
    primary.trainable = False  # A step of one head then changes nothing for the others.
    poses, activations = primary(image)
    heads, outputs = {}, {}
    for name in sorted(routing.ROUTINGS):
        for kind in ("CapsuleLayer", "ConvCapsule2D"):
            head = f"{kind}_{name}".lower()
            options = {"routing": name, "name": f"{head}_capsules"}
            if kind == "CapsuleLayer":
                layer = CapsuleLayer(3, 4, **options)
            else:
                layer = ConvCapsule2D(3, 4, kernel_size=3, padding="same", strides=2, **options)
            explicit = layer.routing.explicit_activations
            parents = layer((poses, activations) if explicit else poses)
            # Poses and activations, so that every weight has a part in the loss.
            parts = [keras.layers.Flatten()(part) for part in keras.tree.flatten(parents)]
            parts = keras.layers.Concatenate()(parts) if explicit else parts[0]
            outputs[head] = keras.layers.Dense(3, activation="softmax", name=head)(parts)
            heads[head] = (kind, name)
    return keras.Model(image, outputs), heads


def check(jit_compile="auto") -> list:
    """Returns what each head does on the backend of this process."""
    import keras

    keras.utils.set_random_seed(1)
    model, heads = build()
    generator = np.random.default_rng(1)
    images = 2 * generator.uniform(size=(24, 9, 9, 1)).astype("float32")
    labels = np.eye(3, dtype="float32")[np.arange(24) % 3]
    model.compile(keras.optimizers.SGD(0.05), "categorical_crossentropy", jit_compile=jit_compile)
    # One step an epoch: the loss that an epoch reports is that before its step.
    history = model.fit(
        images, {head: labels for head in heads}, epochs=2, batch_size=24, verbose=0
    ).history
    expected = model.predict(images, verbose=0)
    with tempfile.TemporaryDirectory() as folder:
        loaded = _load_in_a_process(model, images, Path(folder))
        differences, operations = _export(model, Path(folder))
    rows = []
    for head, (kind, name) in heads.items():
        layer = model.get_layer(f"{head}_capsules")
        config = layer.get_config()
        before, after = history[f"{head}_loss"]
        rows.append(
            {
                "layer": kind,
                "routing": name,
                "config": type(layer).from_config(config).get_config() == config,
                "reloaded": float(np.abs(loaded[head] - expected[head]).max()),
                "loss_before": before,
                "loss_after": after,
                "exported": differences[head],
                "operations": sorted(operations & CONTROL_FLOW),
            }
        )
    return rows


def passed(row: dict) -> bool:
    """Says whether a head did all that it must."""
    return (
        row["config"]
        and row["reloaded"] <= 1e-6
        and row["loss_after"] < row["loss_before"]
        and row["exported"] <= 1e-5
        and not row["operations"]
    )


def to_markdown(results: dict) -> str:
    """Returns the page: a line for each layer and routing, a column for each backend."""
    lines = [
        "# Every routing, in every layer, on every backend",
        "",
        "Made by `python -m benchmarks.routings`. Each cell says: by how much a step of gradient "
        "descent changed the loss (batch 24, learning rate 0.05); the largest difference between "
        "the model and what a fresh process loaded from its file (at most 1e-6); and the largest "
        "between the model and its ONNX file in onnxruntime on random inputs, batches of 1, 2, 7 "
        "and 32 (at most 1e-5); extreme inputs are held to the export's own rule, which allows "
        "more where the last bit of an input moves the model by more. ✓ says that these hold, that "
        "the layer came back from its config, and that the file holds no Loop, If, Scan, Einsum or "
        "Where.",
        "",
    ]
    table = []
    for rows in zip(*results.values(), strict=True):
        cells = [
            f"{'✓' if passed(row) else '✗'} {row['loss_after'] - row['loss_before']:+.4f}, "
            f"{row['reloaded']:.0e}, {row['exported']:.1e}"
            for row in rows
        ]
        table.append([rows[0]["layer"], rows[0]["routing"], *cells])
    return "\n".join([*lines, *markdown_table(["layer", "routing", *results], table)]) + "\n"


def _check_in_a_process(backend):
    process = subprocess.run(
        [sys.executable, "-m", "benchmarks.routings", "--check"],
        env={**os.environ, "KERAS_BACKEND": backend, "TF_CPP_MIN_LOG_LEVEL": "3"},
        stdout=subprocess.PIPE,
        text=True,
        check=True,
    )
    return json.loads(process.stdout.splitlines()[-1])


def _load_in_a_process(model, images, folder):
    model.save(folder / "model.keras")
    np.save(folder / "images.npy", images)
    files = [folder / name for name in ("model.keras", "loaded.npz", "images.npy")]
    subprocess.run([sys.executable, "-c", LOAD, *map(str, files)], check=True)
    return np.load(folder / "loaded.npz")


def _export(model, folder):
    """Returns the largest difference of each output on random inputs, infinite where one of the
    other comparisons failed, and the operations in the file.
    """
    import export

    report = export.export_onnx(model, folder / "model.onnx")
    differences = {}
    for comparison in report.comparisons:
        head, difference = comparison.output, 0.0
        if comparison.suite.kind == "random":
            difference = comparison.max_abs
        elif not comparison.passed:
            difference = math.inf
        differences[head] = max(differences.get(head, 0.0), difference)
    return differences, set(report.file.operations)


if __name__ == "__main__":
    main()
