"""Measures the accuracy of the weights that come with the library, on the arrays of the datasets.

`KERAS_CAPSULES_DATA=data python -m benchmarks.cards`

The models prepare the uint8 test images themselves (`include_preprocessing=True`), and take signals
as they are. Maps of classes are judged by their Dice. The second column is what the card says.
"""

import argparse

import numpy as np

from benchmarks import results
from examples.recipes import _shapes
from keras_capsules import create_model, datasets, list_models
from keras_capsules.models import card, pretrained


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--names", nargs="+", default=list_models(weights="*"))
    results.add_options(parser, "cards")
    options = parser.parse_args()
    rows = [row(name, weights) for name in options.names for weights in pretrained.names(name)]
    results.publish(rows, ["model", "weights"], options)


def row(name: str, weights: str) -> dict:
    images, labels = test_data(weights)
    pixels = card(name, weights)["preprocessing"] is not None
    model = create_model(name, weights, include_preprocessing=pixels)
    scores = model.predict(images, batch_size=250, verbose=0)
    if scores.ndim == 4:
        right = _shapes.dice(scores.argmax(axis=-1), labels)
    else:
        present = np.sort(labels.reshape(len(labels), -1), axis=1)
        highest = np.sort(np.argsort(scores, axis=1)[:, -present.shape[1] :], axis=1)
        right = np.mean((highest == present).all(axis=1))
    return {
        "model": name,
        "weights": weights,
        "right %": 100 * right,
        "card %": 100 * card(name, weights)["accuracy_by_seed"]["0"],
        "samples": len(images),
    }


def test_data(weights: str) -> tuple[np.ndarray, np.ndarray]:
    """Returns the samples to test on, and the labels, of the data that weights are for."""
    if weights == "shapes":
        return _shapes.data()[1]
    return getattr(datasets, weights.removeprefix("micro_"))()[1]


if __name__ == "__main__":
    main()
