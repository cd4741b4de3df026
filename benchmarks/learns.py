"""Trains models of the zoo, and every routing, for a few steps on MNIST digits.

    python -m benchmarks.learns
    python -m benchmarks.learns --what models --names variational_capsnet --epochs 10

`models`: each model of the zoo at the sizes of its paper, for 28 x 28 images. `dense` and
`convolutional`: a convolution, primary capsules, one to three layers of capsules of each routing.
Each trains with its documented loss (`keras_capsules.models.default_loss`), a `SpreadLoss` with a
margin that widens, and Adam, on the first training digits, and is judged on the first test digits.
The first row is a linear classifier on the pixels: what does not beat it does not learn.
"""

import argparse
import math
import statistics
import time

import keras
import numpy as np

from benchmarks import results
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


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--what", nargs="+", default=["models", "dense", "convolutional"])
    parser.add_argument("--names", nargs="+", help="models or routings (default: all)")
    parser.add_argument("--digits", type=int, default=5000)
    parser.add_argument("--epochs", type=int, default=2)
    parser.add_argument("--learning-rate", type=float, default=1e-3)
    parser.add_argument("--decay", action="store_true", help="along a cosine, to zero")
    parser.add_argument("--batch", type=int, default=64)
    parser.add_argument("--shift", type=float, default=0, help="of training digits, in pixels")
    parser.add_argument("--seeds", type=int, default=2)
    results.add_options(parser, "learns")
    options = parser.parse_args()
    (x, y), (x_test, y_test) = datasets.mnist()
    train = x[: options.digits] / np.float32(255), y[: options.digits]
    test = x_test[:HELD_OUT] / np.float32(255), y_test[:HELD_OUT]
    rows = [linear_classifier(train, test)]
    for what in options.what:
        known = list_models(task="images") if what == "models" else sorted(ROUTINGS)
        for name in options.names or known:
            for depth in (1,) if what == "models" else (1, 2, 3):
                rows.append(trained(what, name, depth, train, test, options))
                print(rows[-1], flush=True)
    results.publish(rows, ["what", "name", "layers"], options)


def linear_classifier(train, test) -> dict:
    from sklearn.linear_model import LogisticRegression

    start = time.perf_counter()
    pixels, held_out = (x.reshape(len(x), -1) for x, _ in (train, test))
    model = LogisticRegression(max_iter=300).fit(pixels, train[1])
    scores = model.score(pixels, train[1]), model.score(held_out, test[1])
    seconds = time.perf_counter() - start
    return row("pixels", "linear classifier", 0, [scores], seconds, len(train[0]))


def trained(what, name, depth, train, test, options) -> dict:
    """Returns the accuracy after training, in the mean over the seeds."""
    scores, start = [], time.perf_counter()
    for seed in range(options.seeds):
        keras.utils.set_random_seed(seed)
        if what == "models":
            model, loss = create_model(name, **IMAGES), default_loss(name)
        else:
            model, loss = stacked(name, depth, what == "convolutional")
        rate = options.learning_rate
        if options.decay:
            steps = options.epochs * math.ceil(len(train[0]) / options.batch)
            rate = keras.optimizers.schedules.CosineDecay(rate, steps)
        model.compile(keras.optimizers.Adam(rate), loss, metrics=["accuracy"])
        digits = ImageBatches(*train, shifted_by(options.shift), options.batch, seed)
        callbacks = [digits.callback]
        if isinstance(loss, SpreadLoss):
            callbacks.append(SpreadMarginSchedule(options.epochs))
        model.fit(digits, epochs=options.epochs, callbacks=callbacks, verbose=0)
        scores.append([accuracy(model, *part) for part in (train, test)])
    seconds = (time.perf_counter() - start) / options.seeds
    return row(what, name, depth, scores, seconds, options.epochs * len(train[0]))


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
    if not explicit:
        return keras.Model(image, CapsuleLength(name="scores")(x)), MarginLoss()
    loss = "categorical_crossentropy" if routing == "self_routing" else SpreadLoss()
    return keras.Model(image, x[1]), loss


def accuracy(model, x, y) -> float:
    scores = model.predict(x, batch_size=100, verbose=0)
    scores = scores["scores"] if isinstance(scores, dict) else scores
    return float(np.mean(scores.argmax(axis=1) == y))


def row(what, name, layers, scores, seconds, samples) -> dict:
    train, held_out = (100 * statistics.mean(column) for column in zip(*scores, strict=True))
    return {
        "what": what,
        "name": name,
        "layers": layers,
        "training %": train,
        "held out %": held_out,
        "lowest held out %": 100 * min(score[1] for score in scores),
        "ms an image": 1e3 * seconds / samples,
    }


if __name__ == "__main__":
    main()
