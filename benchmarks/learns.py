"""Trains models of the zoo, and every routing, for a few steps on MNIST digits.

    python -m benchmarks.learns --jobs 2
    python -m benchmarks.learns --what models --names variational_capsnet --epochs 10
    python -m benchmarks.learns --report

`models`: each model of the zoo at the sizes of its paper, for 28 x 28 images. `dense` and
`convolutional`: a convolution, primary capsules, one to three layers of capsules of each routing.
Each trains with its documented loss (`keras_capsules.models.default_loss`), a `SpreadLoss` with a
margin that widens, and Adam at its documented rate, on the first training digits, and is judged on
the first test digits. `pixels` is a linear classifier: what does not beat it does not learn.

Each finished run is a line in benchmarks/results/learns.jsonl, and is not repeated with the same
options and backend. The report is made of these lines alone.
"""

import argparse
import dataclasses
import functools
import itertools
import math
import statistics
import time

import keras
import numpy as np

from benchmarks import lines, results
from keras_capsules import (
    CapsuleLayer,
    CapsuleLength,
    ConvCapsule2D,
    MarginLoss,
    PrimaryCapsule2D,
    SpreadLoss,
    SpreadMarginSchedule,
    create_model,
    datasets,
    list_models,
)
from keras_capsules.datasets.augmentation import ImageBatches, random_affine
from keras_capsules.models import default_loss
from keras_capsules.routing import ROUTINGS, get

HELD_OUT = 2000
# Networks for other sizes of images and classes, as their papers have them.
IMAGES = {"input_shape": (28, 28, 1), "num_classes": 10}
USUAL = {"learning_rate": 1e-3, "decay": False, "batch": 64}
# What the docstrings of these models say.
RECIPES = {
    "matrix_capsnet": {"learning_rate": 3e-3, "decay": True, "batch": 32},
    "variational_capsnet": {"learning_rate": 2e-3, "decay": True, "batch": 32},
}
KINDS = ("pixels", "models", "dense", "convolutional")


@dataclasses.dataclass(frozen=True)
class Run:
    """What identifies a run."""

    what: str
    name: str
    layers: int
    seed: int
    backend: str
    digits: int
    epochs: int
    shift: float
    learning_rate: float
    decay: bool
    batch: int


IDENTITY = [field.name for field in dataclasses.fields(Run)]
# What all rows of a table share.
PROTOCOL = ("backend", "digits", "epochs", "shift")


def main(arguments: list[str] | None = None) -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--what", nargs="+", default=list(KINDS), choices=KINDS)
    parser.add_argument("--names", nargs="+", help="models or routings (default: all)")
    parser.add_argument("--digits", type=int, default=5000)
    parser.add_argument("--epochs", type=int, default=2)
    parser.add_argument("--learning-rate", type=float, help="default: as documented, or 1e-3")
    parser.add_argument("--decay", action="store_true", default=None, help="a cosine, to zero")
    parser.add_argument("--batch", type=int, help="default: as documented, or 64")
    parser.add_argument("--shift", type=float, default=0, help="of training digits, in pixels")
    parser.add_argument("--seeds", type=int, default=2, help="from 0 on (default: 2)")
    lines.add_options(parser, "learns.jsonl")
    options = parser.parse_args(arguments)

    rows = lines.read(options.results)
    if options.report:
        print("\n".join(report(rows)))
        return
    finished = {Run(*(row[name] for name in IDENTITY)) for row in rows}
    chosen = planned(options)
    if not chosen:
        parser.error(f"--names {' '.join(options.names)} fits none of {', '.join(options.what)}")
    todo = [run for run in chosen if run not in finished]
    print(f"{len(todo)} of {len(chosen)} runs to do", flush=True)
    if todo:
        for number, row in enumerate(lines.performed(performed, todo, options.jobs), start=1):
            lines.append(options.results, row)
            print(f"{number} of {len(todo)}: {described(row)}", flush=True)


def planned(options) -> list[Run]:
    """Returns the runs that options ask for, all of a seed together."""
    given = {name: getattr(options, name) for name in USUAL}
    given = {name: value for name, value in given.items() if value is not None}
    protocol = keras.backend.backend(), options.digits, options.epochs, float(options.shift)
    runs = []
    for seed, what in itertools.product(range(options.seeds), options.what):
        if what == "pixels":
            if seed == 0:
                runs.append(Run(what, "linear classifier", 0, seed, *protocol, **USUAL))
            continue
        known = list_models(task="images") if what == "models" else sorted(ROUTINGS)
        for name in [name for name in known if name in (options.names or known)]:
            recipe = USUAL | RECIPES.get(name, {}) | given
            for depth in (1,) if what == "models" else (1, 2, 3):
                runs.append(Run(what, name, depth, seed, *protocol, **recipe))
    return runs


def performed(run: Run) -> dict:
    """Trains, and returns the line of a run: what it was, and its accuracies in per cent."""
    (x, y), (x_test, y_test) = datasets.mnist()
    train = x[: run.digits] / np.float32(255), y[: run.digits]
    test = x_test[:HELD_OUT] / np.float32(255), y_test[:HELD_OUT]
    start = time.perf_counter()
    judge = linear_classifier(train) if run.what == "pixels" else trained(run, train)
    scores = {"training": 100 * judge(*train), "held_out": 100 * judge(*test)}
    return dataclasses.asdict(run) | scores | {"seconds": time.perf_counter() - start}


def linear_classifier(train):
    """Returns the function that scores images by a regression of their pixels."""
    from sklearn.linear_model import LogisticRegression

    images, labels = train
    model = LogisticRegression(max_iter=300).fit(images.reshape(len(images), -1), labels)
    return lambda x, y: model.score(x.reshape(len(x), -1), y)


def trained(run: Run, train):
    """Returns the function that scores images by a network."""
    keras.backend.clear_session()
    keras.utils.set_random_seed(run.seed)
    if run.what == "models":
        model, loss = create_model(run.name, **IMAGES), default_loss(run.name)
    else:
        model, loss = stacked(run.name, run.layers, run.what == "convolutional")
    rate = run.learning_rate
    if run.decay:
        steps = run.epochs * math.ceil(len(train[0]) / run.batch)
        rate = keras.optimizers.schedules.CosineDecay(rate, steps)
    model.compile(keras.optimizers.Adam(rate), loss)
    digits = ImageBatches(*train, shifted_by(run.shift), run.batch, run.seed)
    callbacks = [digits.callback]
    if isinstance(loss, SpreadLoss):
        callbacks.append(SpreadMarginSchedule(run.epochs))
    model.fit(digits, epochs=run.epochs, shuffle=False, callbacks=callbacks, verbose=0)
    return functools.partial(accuracy, model)


def shifted_by(pixels: float):
    """Returns the function that makes a batch of images and one-hot labels."""

    def batch(images, labels, generator):
        if pixels:
            images = random_affine(images, generator, shift=pixels)
        return images, keras.utils.to_categorical(labels, 10)

    return batch


def stacked(routing: str, depth: int, convolutional: bool):
    """Returns a network with `depth` layers of capsules, and the loss of their family."""
    explicit = get(routing).explicit_activations
    image = keras.Input((28, 28, 1), name="image")
    x = keras.layers.Conv2D(32, 5, strides=2, activation="relu")(image)
    activation = None if explicit else "squash"
    options = {"explicit_activations": explicit, "activation": activation}
    x = PrimaryCapsule2D(8, 16, 3, strides=2, **options)(x)
    for _ in range(depth - 1):
        if convolutional:
            x = ConvCapsule2D(8, 16, 3, routing=routing, transform="matrix", padding="same")(x)
        else:
            x = CapsuleLayer(16, 16, routing=routing)(x)
    if convolutional:
        x = ConvCapsule2D(8, 16, 3, routing=routing, transform="matrix")(x)
    x = CapsuleLayer(10, 16, routing=routing)(x)
    if routing == "inverted_dot_product":  # All its poses are equally long.
        logits = keras.layers.Reshape((10,))(keras.layers.Dense(1)(x))
        scores = keras.layers.Softmax(name="scores")(logits)
        return keras.Model(image, scores), keras.losses.CategoricalCrossentropy()
    if not explicit:
        return keras.Model(image, CapsuleLength(name="scores")(x)), MarginLoss()
    loss = "categorical_crossentropy" if routing == "self_routing" else SpreadLoss()
    return keras.Model(image, x[1]), loss


def accuracy(model, x, y) -> float:
    scores = model.predict(x, batch_size=100, verbose=0)
    scores = scores["scores"] if isinstance(scores, dict) else scores
    return float(np.mean(scores.argmax(axis=1) == y))


def described(row) -> str:
    return (
        f"{row['what']} {row['name']}, {row['layers']} layers, seed {row['seed']}: "
        f"training {row['training']:.1f} %, held out {row['held_out']:.1f} % "
        f"in {row['seconds']:.0f} s"
    )


def report(rows: list[dict]) -> list[str]:
    """Returns a table for each backend, number of digits, of epochs and shift."""
    told = []
    rows = sorted(rows, key=lambda row: (KINDS.index(row["what"]), row["name"], row["layers"]))
    for protocol, of_protocol in grouped(rows, PROTOCOL).items():
        facts = ", ".join(f"{name} {value}" for name, value in zip(PROTOCOL, protocol, strict=True))
        seeds = grouped(of_protocol, [name for name in IDENTITY if name != "seed"]).values()
        told += [f"## {facts}", "", *results.table([averaged(runs) for runs in seeds]), ""]
    return told


def grouped(rows: list[dict], names) -> dict[tuple, list[dict]]:
    groups = {}
    for row in rows:
        groups.setdefault(tuple(row[name] for name in names), []).append(row)
    return groups


def averaged(rows: list[dict]) -> dict:
    """Returns a row of the table: the mean over seeds."""
    first = rows[0]
    recipe = f"{first['learning_rate']:g}{' to 0' * first['decay']}, batch {first['batch']}"
    return {
        "what": first["what"],
        "name": first["name"],
        "layers": first["layers"],
        "learning rate": "" if first["what"] == "pixels" else recipe,
        "seeds": len(rows),
        "training %": statistics.mean(row["training"] for row in rows),
        "held out %": statistics.mean(row["held_out"] for row in rows),
        "lowest held out %": min(row["held_out"] for row in rows),
    }


if __name__ == "__main__":
    main()
