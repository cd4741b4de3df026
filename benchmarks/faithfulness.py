"""Tests whether maps are true: deletes and inserts the pixels that they name, and scores again.

    KERAS_CAPSULES_DATA=data python -m benchmarks.faithfulness

The maps are coupling maps and Grad-CAM of the capsule network, Grad-CAM of the plain network if its
weights exist, and controls that know nothing of the network: the darkness of the pixels, chance,
and the coupling map that a network would have whose cells all said the same. The images are MNIST's
test digits, and the same digits turned, sheared, scaled and shifted.
"""

import argparse
import functools
import json
from pathlib import Path

import keras
import numpy as np

import keras_capsules
from keras_capsules import datasets, explain
from keras_capsules.datasets.augmentation import random_affine
from keras_capsules.explain._content import content_of
from keras_capsules.explain._pixel_shares import spread


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--images", type=int, default=500, help="of each kind (default: 500)")
    parser.add_argument("--steps", type=int, default=14, help="of a curve (default: 14)")
    parser.add_argument("--json", type=Path, default=Path("build/faithfulness.json"))
    parser.add_argument("--figure", type=Path, help="file for the curves on MNIST")
    options = parser.parse_args()

    capsules = keras_capsules.create_model("efficient_capsnet", "mnist")
    general = {
        "Grad-CAM": explain.grad_cam,
        "darkness": lambda model, images: images[..., 0],
        "random": lambda model, images: explain.random_maps(images),
    }
    even = functools.partial(explain.coupling_map, division="even")
    kinds = [
        (capsules, "coupling map", explain.coupling_map),
        (capsules, "coupling map, even division", even),
        (capsules, "content alone", content_alone),
    ]
    kinds += [(capsules, *kind) for kind in general.items()]
    if "cnn_baseline" in keras_capsules.list_models(weights="mnist"):
        plain = keras_capsules.create_model("cnn_baseline", "mnist")
        kinds += [(plain, *kind) for kind in general.items()]
    results, curves = [], {}
    for dataset, (images, labels) in test_sets(options.images).items():
        for model, method, make in kinds:
            found = explain.deletion_insertion(model, images, make(model, images), options.steps)
            if dataset == "MNIST" and model is capsules:
                curves[method] = found
            right = model.predict(images, verbose=0).argmax(axis=1) == labels
            row = {"images": dataset, "model": model.name, "map": method}
            row["accuracy"] = float(right.mean())
            for area in ("deletion_area", "insertion_area"):
                values = getattr(found, area)
                row[area] = float(values.mean())
                row[f"{area}_error"] = float(values.std() / len(values) ** 0.5)
            results.append(row)
            print(row, flush=True)
    options.json.parent.mkdir(parents=True, exist_ok=True)
    settings = {"images_of_each_kind": options.images, "steps": options.steps}
    options.json.write_text(json.dumps(settings | {"results": results}, indent=2) + "\n")
    if options.figure:
        explain.plot_deletion_insertion(curves).savefig(options.figure, dpi=80)
    print("| images | model | map | deletion, lower is better | insertion, higher is better |")
    print("|---|---|---|---|---|")
    for row in results:
        areas = [
            f"{row[area]:.3f} ± {row[f'{area}_error']:.3f}"
            for area in ("deletion_area", "insertion_area")
        ]
        print("|", " | ".join([row["images"], f"`{row['model']}`", row["map"], *areas]), "|")


def content_alone(model, images):
    """Divides the same value in each cell among the pixels, as the coupling map does."""
    cells = model.get_layer("primary_capsules").input
    same = keras.ops.ones_like(cells[..., 0])
    maps = keras.Model(model.input, spread(same, cells, content_of(cells, grid=2)))
    return maps.predict(images, verbose=0)


def test_sets(number):
    """Returns the first test digits, unchanged and moved within affNIST's ranges on 28 x 28."""
    images, labels = (array[:number] for array in datasets.mnist()[1])
    images = images.astype("float32") / 255
    moved = random_affine(
        images, np.random.default_rng(0), rotation=20, scale=(0.8, 1.2), shear=0.2, shift=2
    )
    return {"MNIST": (images, labels), "moved": (moved, labels)}


if __name__ == "__main__":
    main()
