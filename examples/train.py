"""Trains a model by its recipe. After a kill, the same command continues where it stopped.

`KERAS_CAPSULES_DATA=data python -m examples.train --model efficient_capsnet --dataset mnist`

A recipe is a file in `examples/recipes` that defines the model, the changes to the images and the
length of the training. After each epoch the weights and the optimizer are stored in the output
folder, with a log of each epoch as CSV. A run that continues ends with the same weights as an
uninterrupted run. It runs on any backend: `KERAS_BACKEND=torch`. With `--data-parallel`, JAX
divides each batch among all its devices. A run may continue with another number of devices.
With `--average 0.999`, the moving average of the weights with this momentum is stored too, as
`average.weights.h5`. The training itself is the same. Another seed, number of epochs, precision or
average does not continue a run, and needs another output folder.
"""

import argparse
import importlib
import itertools
import json
import sys
from pathlib import Path

import keras

import keras_capsules
from keras_capsules.datasets import ImageBatches

RECIPES = Path(__file__).parent / "recipes"


def build(name: str, recipe, weights: str | None = None) -> keras.Model:
    """Builds the model of a recipe, with a decoder if the recipe has one."""
    decoder = recipe.DECODER and {"with_decoder": True} | recipe.DECODER
    return keras_capsules.create_model(name, weights, **recipe.ARGUMENTS, **decoder)


class CosineWithRestarts(keras.optimizers.schedules.LearningRateSchedule):
    """Learning rate that rises and falls to zero by a cosine, which restarts from half the rate.

    Args:
        rate: Float. Highest learning rate.
        warmup: Integer. Number of steps of the rise.
        ends: Tuple of integers. Steps at which the cosines reach zero.
    """

    def __init__(self, rate: float, warmup: int, ends: tuple[int, ...]):
        cosine = keras.optimizers.schedules.CosineDecay
        decay = max(warmup, ends[0] - warmup)
        self.cosines = [(0, cosine(0.0, decay, warmup_target=rate, warmup_steps=warmup))]
        for start, end in itertools.pairwise(ends):
            self.cosines.append((start, cosine(rate / 2, end - start)))
        self.config = {"rate": rate, "warmup": warmup, "ends": ends}

    def get_config(self):
        return self.config

    def __call__(self, step):
        step = keras.ops.cast(step, "float32")
        rate = 0.0
        for start, cosine in self.cosines:
            rate = keras.ops.where(step < start, rate, cosine(step - start))
        return rate


def divide(batch_size: int, parser: argparse.ArgumentParser) -> None:
    """Lets JAX divide each batch among its devices, or ends with an error if they do not fit."""
    devices = keras.distribution.list_devices()
    if batch_size % len(devices):
        parser.error(f"the {len(devices)} devices do not divide batches of {batch_size}")
    keras.distribution.set_distribution(keras.distribution.DataParallel(devices=devices))


def keep(settings: dict, folder: Path, parser: argparse.ArgumentParser) -> None:
    """Writes down with what a run begins, or ends with an error if it began with something else."""
    path = folder / "settings.json"
    begun = json.loads(path.read_text()) if path.is_file() else settings
    if begun != settings:
        asked = f"not {settings}; give another --output"
        parser.error(f"the run in {folder} began with {begun}, {asked}")
    path.write_text(json.dumps(settings))


def main(arguments: list[str] | None = None) -> int:
    """Trains, and returns the exit code."""
    parser = argparse.ArgumentParser(prog="python -m examples.train", description=__doc__)
    names = sorted(path.stem for path in RECIPES.glob("[!_]*.py"))
    parser.add_argument("--model", required=True, help=f"with --dataset, one of {names}")
    parser.add_argument("--dataset", required=True, help="see --model")
    parser.add_argument("--epochs", type=int, help="default: those of the recipe")
    parser.add_argument("--seed", type=int, default=0, help="default: 0")
    parser.add_argument("--output", type=Path, help="folder (default: build/train/MODEL_DATASET)")
    parser.add_argument("--mixed-precision", action="store_true", help="compute in bfloat16")
    parser.add_argument(
        "--data-parallel", action="store_true", help="divide batches among the devices of JAX"
    )
    parser.add_argument("--average", type=float, metavar="MOMENTUM", help="average weights too")
    parser.add_argument("--tensorboard", action="store_true", help="log for TensorBoard as well")
    options = parser.parse_args(arguments)
    if options.average is not None and not 0 <= options.average < 1:
        parser.error(f"--average {options.average} is not a momentum, which is from 0 to below 1")
    name = f"{options.model}_{options.dataset}"
    if name not in names:
        parser.error(f"there is no recipe {name}; there are {', '.join(names)}")
    recipe = importlib.import_module(f"examples.recipes.{name}")
    if options.data_parallel:
        if keras.backend.backend() != "jax":
            parser.error(
                "--data-parallel is for JAX: set KERAS_BACKEND=jax, or see docs/scaling.md"
            )
        divide(recipe.BATCH_SIZE, parser)
    folder = options.output or Path("build/train") / name
    folder.mkdir(parents=True, exist_ok=True)
    epochs = options.epochs or recipe.EPOCHS
    settings = {name: getattr(options, name) for name in ("seed", "mixed_precision", "average")}
    keep({"epochs": epochs} | settings, folder, parser)

    keras.utils.set_random_seed(options.seed)
    if options.mixed_precision:
        keras.config.set_dtype_policy("mixed_bfloat16")
    try:
        (images, labels), test = recipe.data()
    except ValueError as error:
        print(f"train: {error}", file=sys.stderr)
        return 4
    batches = ImageBatches(images, labels, recipe.transform, recipe.BATCH_SIZE, options.seed)
    model = build(options.model, recipe)
    ends = [*(epoch for epoch in getattr(recipe, "RESTARTS", ()) if epoch < epochs), epochs]
    schedule = CosineWithRestarts(
        recipe.LEARNING_RATE, len(batches), tuple(len(batches) * end for end in ends)
    )
    recipe.compile(model, schedule)
    last = folder / "model.weights.h5"
    callbacks = [
        batches.callback,
        keras.callbacks.BackupAndRestore(folder / "backup", delete_checkpoint=False),
        keras.callbacks.CSVLogger(folder / "log.csv", append=True),
    ]
    if options.average is not None:
        model.optimizer.use_ema, model.optimizer.ema_momentum = True, options.average
        # At its end, `fit` gives the model the averages.
        callbacks.append(keras.callbacks.ModelCheckpoint(last, save_weights_only=True))
    if options.tensorboard:
        callbacks.append(keras.callbacks.TensorBoard(folder / "tensorboard"))
    # `batches` have an order, which a run that continues takes up again.
    model.fit(batches, epochs=epochs, shuffle=False, verbose=2, callbacks=callbacks)
    samples = getattr(recipe, "SAMPLES", "images")
    metric = getattr(recipe, "METRIC", "accuracy")
    if options.average is None:
        model.save_weights(last)
    else:
        model.save_weights(folder / "average.weights.h5")
        averaged = recipe.accuracy(model, *test)
        print(f"{metric} on the test {samples} with averaged weights: {averaged:.2%}")
        model.load_weights(last)
    print(f"{metric} on the test {samples}: {recipe.accuracy(model, *test):.2%}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
