"""Puts heads on ten backbones, and asks whether each starts at any scale of features.

    KERAS_BACKEND=jax python -m benchmarks.backbones --jobs 2
    KERAS_BACKEND=tensorflow python -m benchmarks.backbones --export
    python -m benchmarks.backbones --report

Ten steps of `fit` on one batch: 24 digits of MNIST in three classes, as pictures of 32 x 32 x 3.
Between backbone and head the features are multiplied by 1e-3, 1 and 1e3. Six backbones are of
`keras.applications`, with new weights, and frozen. Their batch normalization first takes the
statistics of the pictures, as if they had been trained: new deep networks otherwise give nearly the
same features for every picture, of which no head can learn. The four others train with the head.
The loss counts as `fit` tells it, and in inference, where batch normalization that trains follows
only after some hundred steps.

Each backbone adds nine lines to benchmarks/results/backbones.jsonl, one for each head and scale,
and is not repeated with the same backend. The report is made of these lines alone.
"""

import argparse
import functools
import tempfile
from pathlib import Path

import keras
import numpy as np
from keras import layers

from benchmarks import lines, results
from keras_capsules import MarginLoss, add_head, create_model, datasets, explain

HEADS = ("capsules", "squeeze_excitation", "pooling")
SCALES = (1e-3, 1.0, 1e3)
SHAPE, CLASSES, OF_A_CLASS, STEPS = (32, 32, 3), 3, 8, 10
RATE = 3e-3


def application(name: str, **options) -> keras.Model:
    make = getattr(keras.applications, name)
    backbone = make(include_top=False, weights=None, input_shape=SHAPE, **options)
    for layer in backbone.layers:
        if isinstance(layer, layers.BatchNormalization):
            layer.momentum = 0.0  # The statistics of one batch replace those of the start.
    backbone(pictures()[0], training=True)
    backbone.trainable = False
    return backbone


def convolutional(normalized: bool = False) -> keras.Model:
    image = keras.Input(SHAPE)
    x = layers.Conv2D(16, 5, strides=2)(image)
    if normalized:
        x = layers.BatchNormalization()(x)
    x = layers.Conv2D(32, 3, strides=2, activation="relu")(layers.ReLU()(x))
    return keras.Model(image, x)


def nested() -> keras.Model:
    """A sequential model in a sequential model in a functional one."""
    image = keras.Input(SHAPE)
    inner = keras.Sequential([keras.Input(SHAPE), layers.Rescaling(0.5), convolutional(True)])
    return keras.Model(image, inner(image))


def vector() -> keras.Model:
    backbone = convolutional()
    return keras.Model(backbone.input, layers.GlobalAveragePooling2D()(backbone.output))


BACKBONES = {
    **{
        name: functools.partial(application, name, **options)
        for name, options in {
            "MobileNet": {},
            "MobileNetV2": {},
            "MobileNetV3Small": {"include_preprocessing": False},
            "EfficientNetV2B0": {"include_preprocessing": False},
            "ResNet50V2": {},
            "DenseNet121": {},
        }.items()
    },
    "convolutional": convolutional,
    "nested": nested,
    "vector": vector,
    "se_resnet20": lambda: create_model("se_resnet20", include_top=False, input_shape=SHAPE),
}


def main(arguments: list[str] | None = None) -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--only", nargs="+", default=list(BACKBONES), choices=BACKBONES)
    parser.add_argument("--export", action="store_true", help="export each head too, at scale 1")
    lines.add_options(parser, "backbones.jsonl")
    options = parser.parse_args(arguments)

    rows = lines.read(options.results)
    if options.report:
        print("\n".join(report(rows)))
        return
    backend = keras.backend.backend()
    finished = {row["backbone"] for row in rows if row["backend"] == backend}
    todo = [name for name in options.only if name not in finished]
    print(f"{len(todo)} of {len(options.only)} backbones to do", flush=True)
    perform = functools.partial(performed, exporting=options.export)
    for found in lines.performed(perform, todo, options.jobs) if todo else ():
        for row in found:
            lines.append(options.results, row)
        print("\n".join(results.table(found)), flush=True)


def pictures() -> tuple[np.ndarray, np.ndarray]:
    """Returns the digits, as pictures of three channels in [-1, 1], and their classes."""
    (images, labels), _ = datasets.mnist()
    chosen = [np.flatnonzero(labels == label)[:OF_A_CLASS] for label in range(CLASSES)]
    chosen = np.concatenate(chosen)
    padded = np.pad(images[chosen], [(0, 0), (2, 2), (2, 2), (0, 0)])
    return padded.repeat(3, axis=3) / np.float32(127.5) - 1, labels[chosen].astype("int32")


def performed(name: str, exporting: bool) -> list[dict]:
    """Returns the lines of a backbone: each head at each scale."""
    found = []
    for head in HEADS:
        keras.backend.clear_session()
        keras.utils.set_random_seed(0)
        backbone = BACKBONES[name]()
        scaled = layers.BatchNormalization(center=False, epsilon=1e-9, name="scaled")
        model = keras.Model(backbone.inputs, scaled(backbone.outputs[0]))
        scaled.trainable = False  # A constant factor: gamma is the scale.
        model = add_head(model, CLASSES, head)
        facts = {"backend": keras.backend.backend(), "backbone": name, "head": head}
        facts |= {"frozen": not backbone.trainable_weights}
        found += [facts | row for row in at_each_scale(model, head, exporting)]
    return found


def at_each_scale(model, head, exporting):
    """Yields what became of a head at each scale, from the same weights each time."""
    x, y = pictures()
    loss = MarginLoss() if head == "capsules" else "sparse_categorical_crossentropy"
    model.compile(keras.optimizers.Adam(RATE), loss)
    model.optimizer.build(model.trainable_variables)
    state = [*model.variables, *model.optimizer.variables]
    start = [keras.ops.convert_to_numpy(variable) for variable in state]
    for scale in SCALES:
        for variable, value in zip(state, start, strict=True):
            variable.assign(value)
        model.get_layer("scaled").gamma.assign([scale] * model.get_layer("scaled").gamma.shape[0])
        before = model.evaluate(x, y, batch_size=len(x), verbose=0)
        losses = model.fit(x, y, batch_size=len(x), epochs=STEPS, verbose=0).history["loss"]
        after = model.evaluate(x, y, batch_size=len(x), verbose=0)
        row = {"scale": scale, "first": losses[0], "last": losses[-1]}
        row |= {"before": before, "after": after} | checked(model, head, x, y)
        if exporting and scale == 1:
            row["exported"] = exported(model)
        yield row


def checked(model, head, x, y) -> dict:
    """Returns what is right, how far a saved model is off, and whether there is a map.

    Capsules of a vector have no places, so that Grad-CAM explains them, like the other heads.
    """
    scores = model.predict(x, batch_size=len(x), verbose=0)
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "model.keras"
        model.save(path)
        again = keras.models.load_model(path).predict(x, batch_size=len(x), verbose=0)
    if head == "capsules" and len(model.get_layer("head_normalization").output.shape) == 4:
        maps = explain.coupling_map(model, x[:4])
    else:
        maps = explain.grad_cam(model, x[:4])
    return {
        "right": float(np.mean(scores.argmax(axis=1) == y)),
        "saved": float(np.abs(again - scores).max()),
        "map": maps.shape == (4, *SHAPE[:2]) and bool(np.isfinite(maps).all()),
    }


def exported(model) -> bool:
    """Returns whether the exported file computes what the model does."""
    import export

    with tempfile.TemporaryDirectory() as folder:
        report = export.export_onnx(model, Path(folder) / "model.onnx", input_range=(-1, 1))
    return report.passed


def report(rows: list[dict]) -> list[str]:
    """Returns a table of the backbones, each row with all heads and scales of a backend."""
    groups = {}
    for row in sorted(rows, key=lambda row: list(BACKBONES).index(row["backbone"])):
        groups.setdefault((row["backbone"], row["backend"]), []).append(row)
    return results.table([summed_up(*names, runs) for names, runs in groups.items()])


def summed_up(backbone, backend, runs):
    """Returns a row of the table: of the runs, how many pass, and the worst."""

    def told(number, of):
        return f"{number} of {of}"

    export = [row["exported"] for row in runs if "exported" in row]
    return {
        "backbone": f"{backbone}{', frozen' * runs[0]['frozen']}",
        "backend": backend,
        "loss falls": told(sum(row["last"] < row["first"] for row in runs), len(runs)),
        "in inference": told(sum(row["after"] < row["before"] for row in runs), len(runs)),
        "least fall %": min(100 * (1 - row["last"] / row["first"]) for row in runs),
        "right % after": 100 * float(np.mean([row["right"] for row in runs])),
        "saved, largest difference": max(row["saved"] for row in runs),
        "maps": told(sum(row["map"] for row in runs), len(runs)),
        "exported": told(sum(export), len(export)) if export else "",
    }


if __name__ == "__main__":
    main()
