"""Measures whether maps are true: pixels that they name are deleted from, and put into, images.

    KERAS_CAPSULES_DATA=data python -m benchmarks.faithfulness

Coupling maps and Grad-CAM of the capsule network, Grad-CAM of the plain network where its weights
are there, and two controls that know nothing of the network: the pixels' own darkness and chance.
On MNIST's test digits, and on the same ones turned, sheared, scaled and shifted.
"""

import argparse
import json
from pathlib import Path

import numpy as np

import keras_capsules
from keras_capsules import datasets, explain
from keras_capsules.datasets.augmentation import random_affine


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
    kinds = [(capsules, "coupling map", explain.coupling_map)]
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


def test_sets(number):
    """The first test digits as they are, and moved within affNIST's ranges on 28 x 28 pixels."""
    images, labels = (array[:number] for array in datasets.mnist()[1])
    images = images.astype("float32") / 255
    moved = random_affine(
        images, np.random.default_rng(0), rotation=20, scale=(0.8, 1.2), shear=0.2, shift=2
    )
    return {"MNIST": (images, labels), "moved": (moved, labels)}


if __name__ == "__main__":
    main()
