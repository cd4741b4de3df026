"""Runs the affNIST protocol: networks trained on shifted digits read turned and scaled ones.

    KERAS_CAPSULES_DATA=data python -m benchmarks.affnist

Each network is trained on MNIST's digits, shifted again in each epoch on a canvas of 40 x 40, and
disturbed in no other way, until it labels `--target` per cent of shifted test digits right. Then,
all equal on what they know, they are tested on digits that were turned, sheared and scaled.
"""

import argparse
import json
import time
from pathlib import Path

import keras
import numpy as np

import keras_capsules
from keras_capsules import datasets
from keras_capsules.datasets.affnist import shifted

CNN = {"filters": (32, 64, 64, 112), "kernel_size": 3, "strides": (1, 2, 2, 2), "units": ()}
MODELS = {
    "efficient_capsnet": {"strides": (1, 2, 1, 2)},
    "se_capsnet": {"strides": (1, 2, 1, 2)},
    "cnn_baseline": CNN | {"batch_normalization": True},
}
STEPS = 234  # Between two looks at the accuracy: a quarter of an epoch.


class StopAtAccuracy(keras.callbacks.Callback):
    """Stops training as soon as the share of right labels reaches a target."""

    def __init__(self, images, labels, target):
        super().__init__()
        self.images, self.labels, self.target = images, labels, target

    def on_epoch_end(self, epoch, logs=None):
        self.steps = (epoch + 1) * STEPS
        found = accuracy(self.model, self.images[:2000], self.labels[:2000])
        if found >= self.target:
            found = accuracy(self.model, self.images, self.labels)
        print(f"  {self.steps} steps: {found:.2%}", flush=True)
        self.model.stop_training = found >= self.target


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--models", nargs="+", choices=MODELS, default=list(MODELS))
    parser.add_argument("--target", type=float, default=99.2, help="per cent (default: 99.2)")
    parser.add_argument("--steps", type=int, default=20_000, help="at most (default: 20,000)")
    parser.add_argument("--variants", type=int, default=1, help="of each test digit (default: 1)")
    parser.add_argument("--seeds", type=int, nargs="+", default=[0])
    parser.add_argument("--json", type=Path, default=Path("build/affnist.json"))
    options = parser.parse_args()

    images, labels = (array[: 4 * STEPS * 64] for array in datasets.mnist()[0])
    clean_images, clean_labels = datasets.mnist()[1]
    clean_images = prepare(shifted(clean_images, np.random.default_rng(1)))
    test_images, test_labels = datasets.affnist(options.variants)[1]
    test_images = prepare(test_images)
    results = []
    for name in options.models:
        for seed in options.seeds:
            print(f"{name}, seed {seed}", flush=True)
            keras.utils.set_random_seed(seed)
            model = keras_capsules.create_model(name, input_shape=(40, 40, 1), **MODELS[name])
            capsules = "capsnet" in name
            loss = keras_capsules.MarginLoss() if capsules else "categorical_crossentropy"
            model.compile("adam", loss)
            stop = StopAtAccuracy(clean_images, clean_labels, options.target / 100)
            batches = datasets.ImageBatches(images, labels, transform, 64, seed)
            start = time.perf_counter()
            model.fit(
                batches,
                epochs=options.steps // STEPS,
                steps_per_epoch=STEPS,
                verbose=0,
                callbacks=[batches.callback, stop],
            )
            trained = sum(int(np.prod(weight.shape)) for weight in model.trainable_weights)
            results.append(
                {
                    "model": name,
                    "seed": seed,
                    "parameters": trained,
                    "steps": stop.steps,
                    "seconds": time.perf_counter() - start,
                    "clean": accuracy(model, clean_images, clean_labels),
                    "affnist": accuracy(model, test_images, test_labels),
                }
            )
            options.json.parent.mkdir(parents=True, exist_ok=True)
            options.json.write_text(json.dumps(results, indent=2) + "\n")
    print(f"{'model':18} seed  parameters  steps  shifted digits  affNIST")
    for row in results:
        print(
            f"{row['model']:18} {row['seed']:4}  {row['parameters']:10,} {row['steps']:6} "
            f"{row['clean']:15.2%} {row['affnist']:8.2%}"
        )


def prepare(images):
    return images.astype("float32") / 255


def transform(images, labels, generator):
    return prepare(shifted(images, generator)), keras.utils.to_categorical(labels, 10)


def accuracy(model, images, labels):
    scores = model.predict(images, batch_size=250, verbose=0)
    return float(np.mean(scores.argmax(axis=1) == labels))


if __name__ == "__main__":
    main()
