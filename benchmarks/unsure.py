"""Measures how sure the page may sound: on test digits, and on letters, signs and scribbles.

    KERAS_CAPSULES_DATA=data python -m benchmarks.unsure --levels examples/web/levels.json

`likeness = length * (1 - error)`: the length of the capsule, the shorter one of two, and the share
of the drawing that its redrawing gets wrong, `error = sum((drawn - redrawn)^2) / sum(drawn^2)`. The
page says "It sees a 4" from a likeness on that one in ten drawings without digits reaches, "It may
be a 4" from one on that 99 of 100 digits reach that the network reads right, and else "It may not
be a digit".
"""

import argparse
import json
from pathlib import Path

import numpy as np

import keras_capsules
from benchmarks import non_digits
from keras_capsules import datasets, explain

MODEL = "efficient_capsnet"
SETS = {"mnist": 1, "multi_mnist": 2}  # Weights, and the number of digits that they read.
LEVELS = ("sees", "maybe")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--drawings", type=int, default=2000, help="of each kind (default: 2000)")
    parser.add_argument("--levels", type=Path, help="file for the thresholds")
    parser.add_argument("--figure", type=Path, help="file for the curves")
    options = parser.parse_args()

    levels, found = {}, {}
    print('| weights | drawings | "sees" | "may be" | "may not be" |\n|---|---|---|---|---|')
    for weights, digits in SETS.items():
        found[weights] = groups = likenesses(weights, digits, options.drawings)
        without = np.concatenate([groups["letters and signs"], groups["scribbles"]])
        limits = np.quantile(without, 0.9), np.quantile(groups["digits read right"], 0.01)
        levels[weights] = {name: round(float(x), 2) for name, x in zip(LEVELS, limits, strict=True)}
        for name, values in groups.items():
            print(f"| {weights} | {len(values):,} {name} | {shares(values, levels[weights])} |")
    print(json.dumps(levels))
    if options.levels:
        options.levels.write_text(json.dumps(levels, indent=2) + "\n")
    if options.figure:
        plot(found, levels).savefig(options.figure, dpi=80)


def likenesses(weights, digits, drawings):
    """Returns the likeness of each drawing, by the kind of the drawings."""
    read = reader(weights, digits)
    _, (images, labels) = datasets.mnist() if digits == 1 else datasets.multi_mnist()
    answers, values = read(images / 255)
    right = (np.sort(answers) == np.sort(labels.reshape(len(labels), -1))).all(axis=1)
    groups = {"digits read right": values[right], "digits read wrong": values[~right]}
    generator, size = np.random.default_rng(0), images.shape[1]
    shapes = list(non_digits.SHAPES.values())
    chosen = generator.integers(len(shapes), size=drawings)
    letters = [non_digits.draw(shapes[index], size, generator) for index in chosen]
    scribbles = [non_digits.scribble(size, generator) for _ in range(drawings)]
    return groups | {"letters and signs": read(letters)[1], "scribbles": read(scribbles)[1]}


def reader(weights, digits):
    """Returns a function from images to the digits that the network names and their likeness."""
    model = keras_capsules.create_model(MODEL, weights, with_decoder=True)
    explained = explain.explained_model(model, ["scores", "poses"])
    decoder = explain.decoder_model(model)

    def read(images):
        images = np.asarray(images, "float32").reshape(len(images), *model.input["image"].shape[1:])
        found = explained.predict(images, batch_size=256, verbose=0)
        answers = np.argsort(-found["scores"], axis=1)[:, :digits]
        paper = np.ones_like(images)  # What no digit covers.
        for column in answers.T:
            chosen = np.eye(found["scores"].shape[1])[column][..., None]
            poses = found["poses"] * chosen.astype("float32")
            paper *= 1 - decoder.predict(poses, batch_size=256, verbose=0)
        wrong = np.square(images - (1 - paper)).sum(axis=(1, 2, 3))
        error = wrong / np.square(images).sum(axis=(1, 2, 3))
        length = np.take_along_axis(found["scores"], answers, axis=1).min(axis=1)
        return answers, length * (1 - error)

    return read


def shares(values, levels):
    """Returns the shares of the three levels in percent, as cells of a table."""
    sees, known = np.mean(values >= levels["sees"]), np.mean(values >= levels["maybe"])
    return " | ".join(f"{100 * share:.1f} %" for share in (sees, known - sees, 1 - known))


def plot(found, levels):
    """Draws the share of the drawings whose likeness is below each value."""
    import matplotlib.pyplot as plt

    figure, axes = plt.subplots(1, len(found), figsize=(10, 3.6), sharey=True, layout="tight")
    for axis, (weights, groups) in zip(axes, found.items(), strict=True):
        for name, values in groups.items():
            axis.plot(np.sort(values), np.linspace(0, 1, len(values)), label=name)
        for name, place in levels[weights].items():
            axis.axvline(place, color="gray", linestyle=":")
            text, side = {"sees": ("  sees", "left"), "maybe": ("may be  ", "right")}[name]
            axis.text(place, 1.07, text, ha=side)
        axis.set(title=weights, xlabel="likeness", xlim=(0, 1), ylim=(0, 1.15))
    axes[0].set_ylabel("share below")
    axes[1].legend(frameon=False, loc="lower right")
    return figure


if __name__ == "__main__":
    main()
