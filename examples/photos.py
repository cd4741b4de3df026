"""Trains on pictures in folders, one for each class, and ships a checked ONNX file.

    python examples/emoji.py
    python examples/photos.py build/emoji/train --test build/emoji/test
    python examples/photos.py MY_PHOTOS --head pooling

MobileNetV2 gets a head of capsules, of squeeze-and-excitation or of pooling. Its ImageNet weights
are taken from Keras' cache or the network. Without them a small residual network trains from new
weights, since MobileNetV2's normalization needs many steps. A fresh process without Keras then
classifies the test pictures with the exported file. `build/photos/photos.html` shows the confusion
matrix and the most confident mistakes, with maps of what spoke for them.
"""

import argparse
import json
import subprocess
import sys
from pathlib import Path

import keras
import numpy as np
from keras import layers
from sklearn.metrics import ConfusionMatrixDisplay

import export
import keras_capsules
from keras_capsules import datasets, explain

HEADS = ["capsules", "squeeze_excitation", "pooling"]
# Replaces a device by a fresh process that cannot import Keras and its backends.
DEVICE = """
import sys
sys.modules.update(dict.fromkeys(["keras", "keras_capsules", "tensorflow", "jax", "torch"]))
from export.device import main
sys.exit(main())
"""


def backbone(size: int) -> keras.Model:
    """Returns a backbone behind augmentation and its preprocessing, for pixels from 0 to 255."""
    image = x = keras.Input((size, size, 3), name="image")
    options = {"input_shape": image.shape[1:], "include_top": False}
    try:
        network = keras.applications.MobileNetV2(weights="imagenet", **options)
    except Exception as error:  # Keras' download raises Exception itself.
        print(f"There are no ImageNet weights ({error}). Trains a small network from new weights.")
        network = keras_capsules.create_model("se_resnet20", blocks=1, **options)
    for step in (
        layers.RandomFlip("horizontal"),
        layers.RandomRotation(0.05, fill_mode="nearest"),
        layers.RandomZoom(0.2, fill_mode="nearest"),
        layers.RandomTranslation(0.1, 0.1, fill_mode="nearest"),
        layers.Rescaling(1 / 127.5, offset=-1),
        network,
    ):
        x = step(x)
    return keras.Model(image, x, name="backbone")


def fit(model, head, train, validation, epochs):
    """Trains until the validation accuracy has not risen for a quarter of the epochs."""
    loss = {"capsules": keras_capsules.MarginLoss()}.get(head, "sparse_categorical_crossentropy")
    rate = keras.optimizers.schedules.CosineDecay(2e-3, epochs * -(-len(train[0]) // 32))
    model.compile(keras.optimizers.Adam(rate), loss, metrics=["accuracy"])
    stop = keras.callbacks.EarlyStopping(
        "val_accuracy", patience=max(1, epochs // 4), restore_best_weights=True
    )
    model.fit(*train, 32, epochs, validation_data=validation, callbacks=[stop], verbose=2)


def on_device(file, paths):
    """Returns label and score of each picture, and the latency, from a process without Keras."""
    command = [sys.executable, "-c", DEVICE, str(file), *map(str, paths), "--latency", "--json"]
    answer = json.loads(subprocess.run(command, check=True, capture_output=True).stdout)
    return answer["predictions"], answer["latency_ms"]


def mistakes(model, head, test, scores, folder, number=6):
    """Draws the most confident mistakes, each with its map, and returns the file's name."""
    found = scores.argmax(axis=1)
    wrong = np.flatnonzero(found != test.labels)
    wrong = wrong[np.argsort(-scores[wrong].max(axis=1))][:number]
    if not len(wrong):
        return None
    plot = explain.plot_coupling_map if head == "capsules" else explain.plot_grad_cam
    names = test.class_names
    titles = [f"{names[test.labels[i]]}\ntaken for {names[found[i]]}" for i in wrong]
    figure = plot(model, test.images[wrong], titles, class_index=found[wrong])
    figure.savefig(folder / "mistakes.png", dpi=120)
    return "mistakes.png"


def main() -> None:
    """Trains, exports, asks the device, and draws."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("folder", type=Path, help="has a folder with pictures for each class")
    parser.add_argument("--test", type=Path, help="such a folder for the test (default: a fifth)")
    parser.add_argument("--head", default="capsules", choices=HEADS)
    parser.add_argument("--size", type=int, default=64, help="side of the pictures in pixels")
    parser.add_argument("--epochs", type=int, default=40)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--output", type=Path, default=Path("build/photos"))
    options = parser.parse_args()
    keras.utils.set_random_seed(options.seed)
    try:
        photos = datasets.image_folder(options.folder, (options.size, options.size))
        test = options.test and datasets.image_folder(options.test, (options.size, options.size))
        train, held_out = photos.split(seed=options.seed)
        if test is None:
            test, (train, held_out) = held_out, train.split(seed=options.seed)
    except ValueError as error:
        parser.error(str(error))
    if test.class_names != photos.class_names:
        parser.error(f"{options.test} has the classes {test.class_names}, not those of the other.")

    model = keras_capsules.add_head(backbone(options.size), len(photos.class_names), options.head)
    fit(model, options.head, train[:2], held_out[:2], options.epochs)
    options.output.mkdir(parents=True, exist_ok=True)
    model.save(options.output / "model.keras")
    file = options.output / "model.onnx"
    shipped = {"labels": photos.class_names, "data": {"image": held_out.images}}
    report = export.export_onnx(model, file, **shipped, force=True)

    scores = model.predict(test.images, verbose=0)
    found, latency = on_device(file, test.paths)
    names = [photos.class_names[label] for label in test.labels]
    right = np.mean([row["label"] == name for row, name in zip(found, names, strict=True)])
    ConfusionMatrixDisplay.from_predictions(
        names, [row["label"] for row in found], xticks_rotation="vertical", colorbar=False
    ).figure_.savefig(options.output / "confusion.png", dpi=120, bbox_inches="tight")
    pictures = ["confusion.png", mistakes(model, options.head, test, scores, options.output)]
    lines = {
        "head": options.head,
        "parameters": f"{model.count_params():,}",
        "pictures": f"{len(train.images)} to train, {len(held_out.images)} to validate, "
        f"{len(test.images)} to test",
        "accuracy of the model": f"{np.mean(scores.argmax(axis=1) == test.labels):.1%}",
        "accuracy on the device": f"{right:.1%}",
        "file": f"{file.stat().st_size:,} bytes, at most {report.max_abs:.1e} from the model",
        "latency": f"p50 {latency['p50']:.2f} ms, p99 {latency['p99']:.2f} ms",
    }
    page = "<!doctype html><title>Photos</title><style>img { max-width: 100% }</style>"
    page += "".join(f"<p>{name}: {value}</p>" for name, value in lines.items())
    page += "".join(f'<p><img src="{name}" alt="{name}"></p>' for name in pictures if name)
    (options.output / "photos.html").write_text(page)
    print("\n".join(f"{name:24}{value}" for name, value in lines.items()))


if __name__ == "__main__":
    main()
