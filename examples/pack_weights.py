"""Packs trained weights for `create_model(name, weights=...)`, with the card that describes them.

`KERAS_CAPSULES_DATA=data python -m examples.pack_weights --model efficient_capsnet --dataset mnist`

The input is the folders that `examples.train` wrote, one for each seed, and the weights come from
the first. The output also has the decoder in float16, a few test images with the model's scores for
them, and the card. The card is a JSON file with the accuracy of each run, the command and versions,
and the digests of the files.
"""

import argparse
import datetime
import hashlib
import importlib
import importlib.metadata
import json
from pathlib import Path

import keras
import numpy as np

from examples import train
from keras_capsules.models import pretrained
from keras_capsules.models._shared.main_input import main_input

LICENCES = {
    "mnist": "MNIST of LeCun and Cortes, CC BY-SA 3.0",
    "cifar10": "CIFAR-10 of Krizhevsky, 2009; no licence is stated",
    "basic_motions": "BasicMotions of the UEA archive, 2018, in aeon 1.6; no licence is stated",
    "shapes": "drawn by this library; digits of MNIST of LeCun and Cortes, CC BY-SA 3.0",
    "japanese_vowels": "JapaneseVowels of Kudo, Toyama and Shimbo, CC BY 4.0, in aeon 1.6",
}
EXAMPLES = 16


def main() -> None:
    """Writes the files, and prints the card."""
    parser = argparse.ArgumentParser(prog="python -m examples.pack_weights", description=__doc__)
    parser.add_argument("--model", required=True)
    parser.add_argument("--dataset", required=True)
    parser.add_argument("--hardware", required=True, help="that trained, with the time it took")
    parser.add_argument(
        "--runs",
        type=Path,
        nargs="+",
        help="folders of examples.train, for seeds 0, 1, ... (default: build/train/MODEL_DATASET)",
    )
    options = parser.parse_args()
    name = f"{options.model}_{options.dataset}"
    recipe = importlib.import_module(f"examples.recipes.{name}")
    test_images, test_labels = recipe.data()[1]

    accuracies = {}
    for seed, folder in reversed(list(enumerate(options.runs or [Path("build/train") / name]))):
        model = train.build(options.model, recipe, str(folder / "model.weights.h5"))
        accuracies[str(seed)] = round(recipe.accuracy(model, test_images, test_labels), 6)

    samples = getattr(recipe, "SAMPLES", "images")
    metric = getattr(recipe, "METRIC", "accuracy")
    stem = pretrained.FOLDER / f"{options.model}-{options.dataset}"
    files = _write(stem, model, recipe.prepare(test_images[:EXAMPLES]), recipe.DECODER)
    values = list(accuracies.values())
    card = {
        "model": options.model,
        "weights": options.dataset,
        "task": recipe.__doc__.splitlines()[0],
        "arguments": recipe.ARGUMENTS | recipe.DECODER,
        "class_names": recipe.CLASS_NAMES,
        "preprocessing": recipe.PREPROCESSING,
        "split": f"the training {samples} to train on; the weights after the last epoch",
        "metric": f"{metric} on the {len(test_images):,} test {samples}",
        "accuracy_by_seed": dict(sorted(accuracies.items())),
        "mean": round(float(np.mean(values)), 6),
        "standard_deviation": round(float(np.std(values, ddof=1)), 6) if len(values) > 1 else None,
        "command": f"python -m examples.train --model {options.model} --dataset {options.dataset}",
        "epochs": recipe.EPOCHS,
        "hardware": options.hardware,
        "versions": {
            package: importlib.metadata.version(package)
            for package in ("keras-capsules", "keras", keras.backend.backend())
        },
        "date": str(datetime.date.today()),
        "data_licence": LICENCES[options.dataset.removeprefix("multi_").removeprefix("micro_")],
        "files": files,
    }
    text = json.dumps(card, indent=2) + "\n"
    stem.with_name(f"{stem.name}.json").write_text(text)
    print(text)


def _write(stem, model, images, decoder):
    """Writes the weights and the examples, and returns their digests by file name."""
    taken = main_input(model)
    classifier = keras.Model(taken, model.get_layer("scores").output)
    paths = [stem.with_name(f"{stem.name}.{end}") for end in ("weights.h5", "examples.npz")]
    classifier.save_weights(paths[0])
    found = {taken.name: images, "scores": classifier.predict(images, verbose=0)}
    np.savez_compressed(paths[1], **found)
    if decoder:
        weights = model.get_layer("reconstruction").get_weights()
        paths.append(stem.with_name(f"{stem.name}.decoder.npz"))
        np.savez_compressed(paths[-1], *[array.astype("float16") for array in weights])
    return {path.name: hashlib.sha256(path.read_bytes()).hexdigest() for path in paths}


if __name__ == "__main__":
    main()
