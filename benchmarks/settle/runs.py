"""One run: a head trained on a task with a loss and a seed, and measured. And their lines."""

import fnmatch
import math
import time
from pathlib import Path
from typing import NamedTuple

import keras
import numpy as np

from benchmarks import lines
from benchmarks.settle import heads, measures, rates, tasks
from keras_capsules.datasets.augmentation import ImageBatches

BATCH = 125  # It divides the number of training images of each task.


class Run(NamedTuple):
    """What identifies a run."""

    task: str
    head: str
    loss: str
    seed: int

    @property
    def name(self) -> str:
        return f"{self.task}/{self.head}/{self.loss}"


def planned(patterns: list[str], seeds: int) -> list[Run]:
    """Returns the runs whose `task/head/loss` matches a pattern, all heads of a seed together."""
    every = [
        Run(task, head, loss, seed)
        for task, protocol in tasks.TASKS.items()
        for seed in range(seeds)
        for loss in protocol.losses
        for head in protocol.heads
    ]
    return [run for run in every if any(fnmatch.fnmatch(run.name, each) for each in patterns)]


def performed(run: Run, chosen_rates: dict, tiny: bool = False) -> tuple[dict, np.ndarray]:
    """Trains and measures a network.

    Args:
        run: What to train.
        chosen_rates: Learning rates, as `rates.chosen` returns them.
        tiny: Whether to take few images and one epoch, for a test.

    Returns:
        The run's line, and the scores of the test images.
    """
    task = tasks.TASKS[run.task]
    data = tasks.tiny(task.load()) if tiny else task.load()
    rate = rates.rate_of(chosen_rates, run.head, run.loss)
    model, facts = trained(run, rate, task, data, 1 if tiny else task.epochs)
    found, scores = measures.measured(model, task, data, run)
    return run._asdict() | facts | found, scores


def piloted(pilot: rates.Pilot, tiny: bool = False) -> dict:
    """Trains a network with a learning rate, and returns the line of the pilot."""
    task = tasks.TASKS[rates.TASK]
    data = tasks.tiny(task.load()) if tiny else task.load()
    run = Run(rates.TASK, pilot.head, pilot.loss, pilot.seed)
    model, _ = trained(run, pilot.rate, task, data, 1 if tiny else task.epochs)
    images, labels = data.held_out
    found = measures.accuracy(measures.predicted(model, images), labels)
    return pilot._asdict() | {"accuracy": found}


def trained(run, rate, task, data, epochs) -> tuple[keras.Model, dict]:
    """Returns a trained network, and facts about its training."""
    keras.backend.clear_session()
    model = heads.network(run.head, run.loss, tasks.shape_of(data), run.seed)
    images, labels = task.training(data, run.seed)
    model.compile(keras.optimizers.Adam(rate), heads.loss_of(run.loss))
    batches = ImageBatches(images, labels, task.batch, BATCH, run.seed)
    if task.target:
        ending = StopAtAccuracy(*data.held_out, task.target)
    else:
        ending = keras.callbacks.LearningRateScheduler(cosine(rate, epochs))
    start = time.perf_counter()
    model.fit(
        batches, epochs=epochs, callbacks=[batches.callback, ending], shuffle=False, verbose=0
    )
    seconds = time.perf_counter() - start
    facts = {"backend": keras.backend.backend(), "rate": rate, "train_seconds": seconds}
    return model, facts | {"steps": int(model.optimizer.iterations)}


def cosine(rate, epochs):
    """Returns the function from an epoch to its learning rate, which falls along a cosine."""
    return lambda epoch: rate * (1 + math.cos(math.pi * epoch / epochs)) / 2


class StopAtAccuracy(keras.callbacks.Callback):
    """Ends a training at the first epoch after which so many held-out images are read right."""

    def __init__(self, images, labels, target):
        super().__init__()
        self.images, self.labels, self.target = images, labels, target

    def on_epoch_end(self, epoch, logs=None):
        scores = measures.predicted(self.model, self.images)
        self.model.stop_training = measures.accuracy(scores, self.labels) >= self.target


def read(folder: Path) -> list[dict]:
    """Returns the lines of all finished runs."""
    return [row for task in tasks.TASKS for row in lines.read(folder / f"{task}.jsonl")]


def identity(row: dict) -> Run:
    return Run(*(row[name] for name in Run._fields))


def write(folder: Path, row: dict, scores: np.ndarray) -> None:
    """Keeps the predictions of a run, then its line, which says that it is finished."""
    run = identity(row)
    path = folder / "scores" / run.name / f"{run.seed}.npy"
    path.parent.mkdir(parents=True, exist_ok=True)
    np.save(path, predictions(scores))
    lines.append(folder / f"{run.task}.jsonl", row)


def predictions(scores: np.ndarray) -> np.ndarray:
    """Returns, for each image, the two classes of the highest scores, and these in 255 steps.

    That is enough for accuracy, calibration and detection, and a tenth of all scores.
    """
    classes = np.argsort(-scores, axis=1, kind="stable")[:, :2]
    highest = np.take_along_axis(scores, classes, axis=1)
    columns = np.concatenate([classes, np.round(255 * highest)], axis=1).astype("uint8")
    return np.asfortranarray(columns)  # What is alike lies together, and packs better.


def pack(folder: Path) -> None:
    """Adds the predictions of the runs to one compressed file for each task."""
    for start in sorted((folder / "scores").iterdir()):
        packed = folder / f"{start.name}.npz"
        arrays = dict(np.load(packed)) if packed.is_file() else {}
        for path in sorted(start.rglob("*.npy")):
            arrays[str(path.relative_to(start).with_suffix(""))] = np.load(path)
        np.savez_compressed(packed, **arrays)
