"""Trains the networks for signals by their recipes, with five seeds, beside nearest neighbours.

    python -m benchmarks.signals --jobs 2
    python -m benchmarks.signals --report

`1-NN DTW` names the class of the training series at the smallest distance after dynamic time
warping of all channels together. It is the classifier that the archive of these series compares
others with (Bagnall et al., 2018, arXiv:1811.00075).

Each finished run is a line, and is not repeated. The report is made of the lines alone.
"""

import argparse
import functools
import importlib
import itertools
import tempfile
import time
from pathlib import Path

import keras
import numpy as np

from benchmarks import lines, results
from examples import train
from keras_capsules import datasets

DATASETS = ("basic_motions", "japanese_vowels")
NETWORKS = ("signal_capsnet", "se_signal_net", "signal_cnn")
NEIGHBOUR = "1-NN DTW"
IDENTITY = ("dataset", "name", "seed", "backend")


def main(arguments: list[str] | None = None) -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--datasets", nargs="+", default=DATASETS, choices=DATASETS)
    parser.add_argument("--names", nargs="+", default=NETWORKS, choices=NETWORKS)
    parser.add_argument("--seeds", type=int, default=5, help="from 0 on (default: 5)")
    parser.add_argument("--epochs", type=int, help="default: those of the recipe")
    lines.add_options(parser, "signals.jsonl")
    options = parser.parse_args(arguments)
    if not options.report:
        finished = {identity(row) for row in lines.read(options.results)}
        todo = [run for run in planned(options) if identity(run) not in finished]
        print(f"{len(todo)} runs to do", flush=True)
        perform = functools.partial(performed, epochs=options.epochs)
        for row in lines.performed(perform, todo, options.jobs):
            lines.append(options.results, row)
            print(row, flush=True)
    rows = lines.read(options.results)
    if not rows:
        parser.error(f"there is not a finished run in {options.results}; leave out --report first")
    print("\n".join(report(rows)))


def planned(options) -> list[dict]:
    backend, seeds = keras.backend.backend(), range(options.seeds)
    runs = itertools.product(options.datasets, options.names, seeds, [backend])
    neighbours = [(dataset, NEIGHBOUR, 0, "numpy") for dataset in options.datasets]
    return [dict(zip(IDENTITY, run, strict=True)) for run in (*neighbours, *runs)]


def identity(row: dict) -> tuple:
    return tuple(row[key] for key in IDENTITY)


def performed(run: dict, epochs: int | None) -> dict:
    """Trains and judges a network, or compares with neighbours; returns the line of the run."""
    start = time.perf_counter()
    if run["name"] == NEIGHBOUR:
        (series, labels), (tested, truth) = getattr(datasets, run["dataset"])()
        found = [labels[np.argmin(distances(one, series))] for one in tested]
        scores = {"parameters": 0, "accuracy": float(100 * np.mean(found == truth))}
    else:
        scores = trained(run, epochs)
    return run | scores | {"seconds": time.perf_counter() - start}


def trained(run: dict, epochs: int | None) -> dict:
    """Returns the parameters and the accuracy of a network after the training of its recipe."""
    name, dataset = run["name"], run["dataset"]
    recipe = importlib.import_module(f"examples.recipes.{name}_{dataset}")
    arguments = ["--model", name, "--dataset", dataset, "--seed", str(run["seed"])]
    arguments += [] if epochs is None else ["--epochs", str(epochs)]
    with tempfile.TemporaryDirectory() as folder:
        train.main([*arguments, "--output", folder])
        model = train.build(name, recipe)
        model.load_weights(Path(folder) / "model.weights.h5")
    accuracy = 100 * recipe.accuracy(model, *recipe.data()[1])
    return {"parameters": model.count_params(), "accuracy": accuracy}


def distances(one: np.ndarray, series: np.ndarray) -> np.ndarray:
    """Returns the distances of one series to others after dynamic time warping.

    `D(i, j) = |one_i - other_j|² + min(D(i - 1, j), D(i, j - 1), D(i - 1, j - 1))`. Steps in which
    all channels are 0 fill up shorter series at their end, and do not count.

    Args:
        one: Array `(steps, channels)`.
        series: Array `(count, steps, channels)`.

    Returns:
        Array `(count,)`, the square root of `D` at the last step of both.
    """
    one, last = one[: length(one)], np.array([length(other) for other in series])
    squares = np.sum((one[None, :, None] - series[:, None]) ** 2, axis=-1)
    total = np.full((len(series), len(one) + 1, series.shape[1] + 1), np.inf)
    total[:, 0, 0] = 0
    for i, j in itertools.product(range(len(one)), range(series.shape[1])):
        before = np.minimum(total[:, i, j], np.minimum(total[:, i, j + 1], total[:, i + 1, j]))
        total[:, i + 1, j + 1] = squares[:, i, j] + before
    return np.sqrt(total[np.arange(len(series)), len(one), last])


def length(series: np.ndarray) -> int:
    """Returns the number of steps up to the last that is not 0 in all channels."""
    return int(np.flatnonzero(series.any(axis=-1))[-1]) + 1


def report(rows: list[dict]) -> list[str]:
    """Returns the table: mean ± standard deviation over the seeds, in per cent."""
    groups = {}
    for row in sorted(rows, key=lambda row: row["dataset"]):
        groups.setdefault((row["dataset"], row["name"], row["backend"]), []).append(row)
    cells = []
    for (dataset, name, backend), group in groups.items():
        accuracies = [row["accuracy"] for row in group]
        spread = f" ± {np.std(accuracies, ddof=1):.2f}" if len(group) > 1 else ""
        cell = [dataset, name, backend, str(len(group)), f"{group[0]['parameters']:,}"]
        cells.append([*cell, f"{np.mean(accuracies):.2f}{spread}", f"{min(accuracies):.2f}"])
    header = ["series", "network", "backend", "seeds", "parameters", "accuracy", "lowest"]
    return results.markdown_table(header, cells)


if __name__ == "__main__":
    main()
