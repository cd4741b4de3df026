"""One run: a head trained on a task with a loss and a seed, and measured. And their lines."""

import fnmatch
import math
import time
from pathlib import Path
from typing import NamedTuple

import keras
import numpy as np

from benchmarks import lines
from benchmarks.settle import heads, measures, tasks
from keras_capsules.datasets.augmentation import ImageBatches

BATCH, RATE = 128, 2e-3


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
        for head in heads.HEADS
    ]
    return [run for run in every if any(fnmatch.fnmatch(run.name, each) for each in patterns)]


def performed(run: Run, tiny: bool = False) -> tuple[dict, np.ndarray]:
    """Trains and measures a network.

    Args:
        run: What to train.
        tiny: Whether to take few images and one epoch, for a test.

    Returns:
        The run's line, and the scores of the test images.
    """
    task = tasks.TASKS[run.task]
    data = tasks.tiny(task.load()) if tiny else task.load()
    keras.backend.clear_session()
    model = heads.network(run.head, run.loss, tasks.shape_of(data), run.seed)
    seconds = trained(model, run, task, data, 1 if tiny else task.epochs)
    found, scores = measures.measured(model, task, data, run.loss, run.seed)
    facts = {"backend": keras.backend.backend(), "train_seconds": seconds}
    return run._asdict() | facts | found, scores


def trained(model, run, task, data, epochs) -> float:
    """Trains a network, and returns the seconds that it took."""
    images, labels = task.training(data, run.seed)
    steps = epochs * math.ceil(len(images) / BATCH)
    rate = keras.optimizers.schedules.CosineDecay(RATE, steps)
    model.compile(keras.optimizers.Adam(rate), heads.loss_of(run.loss))
    batches = ImageBatches(images, labels, task.batch, BATCH, run.seed)
    start = time.perf_counter()
    model.fit(batches, epochs=epochs, callbacks=[batches.callback], shuffle=False, verbose=0)
    return time.perf_counter() - start


def read(folder: Path) -> list[dict]:
    """Returns the lines of all finished runs."""
    return [row for task in sorted(tasks.TASKS) for row in lines.read(folder / f"{task}.jsonl")]


def identity(row: dict) -> Run:
    return Run(*(row[name] for name in Run._fields))


def write(folder: Path, row: dict, scores: np.ndarray) -> None:
    """Keeps the scores of a run, then its line, which says that it is finished."""
    run = identity(row)
    path = folder / "scores" / run.name / f"{run.seed}.npy"
    path.parent.mkdir(parents=True, exist_ok=True)
    np.save(path, scores.astype("float16"))
    lines.append(folder / f"{run.task}.jsonl", row)


def pack(folder: Path) -> None:
    """Adds the scores of the runs to one compressed file for each task."""
    for start in sorted((folder / "scores").iterdir()):
        packed = folder / f"{start.name}.npz"
        arrays = dict(np.load(packed)) if packed.is_file() else {}
        for path in sorted(start.rglob("*.npy")):
            arrays[str(path.relative_to(start).with_suffix(""))] = np.load(path)
        np.savez_compressed(packed, **arrays)
